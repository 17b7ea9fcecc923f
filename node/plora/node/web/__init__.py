"""The web page of a running peer: the admin service's answers as JSON, the event log as a stream, and static files.

What each part promises stands in its module: `guard` who may ask what, `routes` which answers there are, `feed` the
stream, `server` the socket. Needs the extra `web`.
"""
