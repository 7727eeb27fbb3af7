"""The resources: the smallest things in a root that have a state."""

from rootwright.resource.absent import Absent
from rootwright.resource.base import Answer, Change, Resource, State, quote
from rootwright.resource.command import Bootstrap, Command
from rootwright.resource.device import Device
from rootwright.resource.files import Directory, File, Line, Symlink, Template

__all__ = [
    "Absent",
    "Answer",
    "Bootstrap",
    "Change",
    "Command",
    "Device",
    "Directory",
    "File",
    "Line",
    "Resource",
    "State",
    "Symlink",
    "Template",
    "quote",
]
