"""The demo: five real peers on this machine share three good adapters, refuse two bad ones and survive a crash."""

from plora.lab.demo.story import run_demo

__all__ = ["run_demo"]
