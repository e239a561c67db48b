"""The five vendors on localhost: strict where their documents are strict, with trouble on request.

The other side of the wire. It is written from the vendors' documents alone and shares no code with what delivers, so
that a misreading cannot agree with itself. Every vendor has one file that begins with what was read and what is odd.

    with Sandbox() as sandbox: ...                      in a test
    python -m etl.sandbox --port 8900 --faults F.yaml   by hand
"""

from etl.sandbox.background import Sandbox
from etl.sandbox.faults import FaultError
from etl.sandbox.server import serve
from etl.sandbox.wire import Credentials

__all__ = ["Credentials", "FaultError", "Sandbox", "serve"]
