"""Which vendors there are, and with which credentials; the file name is the vendor's. Nothing else registers one."""

from collections.abc import Mapping
from typing import TypeAlias

from etl import plugins
from etl.sandbox.base import Vendor

PACKAGE = "etl.sandbox"

Credentials: TypeAlias = Mapping[str, Mapping[str, str]]
"""vendor -> name of a credential -> its value; what is left out stays as the vendor's file has it."""


def types() -> list[str]:
    """The vendors, in alphabetical order: the file names of the package."""
    return plugins.types(PACKAGE)


def configured(credentials: Credentials) -> dict[str, Vendor]:
    """Every vendor by name. Raises KeyError for credentials of a stranger, TypeError for one that a vendor has not."""
    vendors = {type_: plugins.find(PACKAGE, type_, Vendor) for type_ in types()}
    own = {type_: vendors[type_](**changed) for type_, changed in credentials.items()}
    return {type_: vendor() for type_, vendor in vendors.items()} | own
