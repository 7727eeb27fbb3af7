"""What people see: the report of a run, and the events from which it is told as it happens.

`data` holds what a run came to, `protocol` the events, and behind them stand `console` (people),
`events` (programs, as it happens) and `RunReport.to_json` (programs, at the end). No wing of the
engine is imported here and none imports this: the play translates.
"""

from rootwright.report.console import Console
from rootwright.report.data import (
    ChangeReport,
    HostReport,
    ImageReport,
    ModuleReport,
    RunReport,
    State,
)
from rootwright.report.events import EventLog
from rootwright.report.mask import Masker
from rootwright.report.protocol import Reporter, Reporters

__all__ = [
    "ChangeReport",
    "Console",
    "EventLog",
    "HostReport",
    "ImageReport",
    "Masker",
    "ModuleReport",
    "Reporter",
    "Reporters",
    "RunReport",
    "State",
]
