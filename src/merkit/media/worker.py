"""The decoding child: `python -m merkit.media.worker JSON`. It reads bytes that nobody vouches for, and only it dies.

Memory is capped by RLIMIT_AS, the process goes with its parent, and FFmpeg's own chatter cannot reach the pipe.
"""

import ctypes
import json
import os
import resource
import signal
import sys
from pathlib import Path

__all__: list[str] = []

# Address space, not resident memory: decoder threads reserve far more than they touch.
_MAX_ADDRESS_SPACE = 12 * 2**30


def main() -> None:
    pipe = os.fdopen(os.dup(1), "wb", buffering=1 << 20)
    os.dup2(2, 1)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    resource.setrlimit(resource.RLIMIT_AS, (_MAX_ADDRESS_SPACE, _MAX_ADDRESS_SPACE))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))

    import av

    from merkit.errors import MediaError
    from merkit.media.decode import decode
    from merkit.media.frames_over_pipe import write_message
    from merkit.media.header import read_header
    from merkit.media.limits import Limits

    av.logging.set_level(av.logging.PANIC)
    order = json.loads(sys.argv[1])
    limits = Limits(**order.pop("limits"))
    path, task = Path(order.pop("path")), order.pop("do")
    try:
        if task == "probe":
            write_message(pipe, read_header(path, limits))
            return
        for chunk in decode(path, limits=limits, **order):
            write_message(pipe, chunk)
    except MediaError as error:
        write_message(pipe, error)
    except MemoryError:
        write_message(pipe, MediaError("decoding it needs more memory than is allowed"))
    except BrokenPipeError:
        os._exit(0)  # the reader has what it wanted


if __name__ == "__main__":
    main()
