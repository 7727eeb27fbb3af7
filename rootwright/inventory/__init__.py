"""Where one may build: the hosts, groups and variables of an inventory."""

from rootwright.inventory.description import ALL, LOCALHOST, Become, GroupSpec, HostSpec
from rootwright.inventory.inventory import DEFAULT_PATH, Inventory

__all__ = ["ALL", "DEFAULT_PATH", "LOCALHOST", "Become", "GroupSpec", "HostSpec", "Inventory"]
