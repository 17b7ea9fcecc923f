"""The peer's numbers for Prometheus: what there is (`table`), what is read at each scrape (`readings`), what the event
log's records add up to (`counting`), and the endpoint that serves them.
"""
