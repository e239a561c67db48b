"""Through which proxy a request goes."""

from __future__ import annotations

import urllib.request

from yarl import URL


def environment_proxy(url: str) -> str | None:
    """The proxy that the environment names for an address (``https_proxy``, ``no_proxy`` …); None: none.

    Nothing else is taken from the environment: a netrc would put somebody's password on a vendor's request.
    """
    try:
        address = URL(url)
    except ValueError:  # the request itself will say so
        return None
    if not address.host or urllib.request.proxy_bypass(address.host):
        return None
    proxies = urllib.request.getproxies_environment()
    found = proxies.get(address.scheme) or proxies.get("all")
    return found if found is None or "://" in found else f"http://{found}"
