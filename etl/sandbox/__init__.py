"""The vendors on localhost: strict where their documents are strict, with trouble on request.

The other side of the wire. It is written from the vendors' documents alone and shares no code with what delivers, so
that a misreading cannot agree with itself. Every vendor has one file, found by its name, that begins with what was read
and what is odd; `base` is what such a file is made of, `server` what stands around them.

    with Sandbox() as sandbox: ...                      in a test
    python -m etl.sandbox --port 8900 --faults F.yaml   by hand
"""

from etl.sandbox.server.app import serve
from etl.sandbox.server.background import Sandbox
from etl.sandbox.server.faults import FaultError
from etl.sandbox.server.vendors import types

__all__ = ["FaultError", "Sandbox", "serve", "types"]
