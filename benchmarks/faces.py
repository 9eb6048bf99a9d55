"""Faces alone: how fast they are found, followed and cropped, and which are found, beside OpenCV's Haar cascade.

    python -m benchmarks.faces --runs 5
    python -m benchmarks.faces --source talk.mp4 --expression
    python -m benchmarks.faces --recall clip.mp4@164,62,272,200 --haar-python /path/to/other/venv/bin/python

Speed: a clip of 60 s, 640x360, 30 frames a second, made by looping real material (`--source`; by default the demo
clip), is decoded, sampled at 3 frames a second, searched, followed and cropped; each run is a fresh process, and its
wall time includes everything from the first import to the last person. With `--expression` every crop is also judged.

Recall: frames of clips that show exactly one face, marked by hand as `CLIP@x0,y0,x1,y1` (the box that holds the face
in all frames), are shrunk, rolled and squeezed sideways on a canvas of 640x360. A face counts as found where a
detection's centre lies in the marked box and its longer side is 0.5 to 2 times the box's height; all else is a false
alarm. The squeeze stands in for a turned head as far as outlines go: it hides nothing, as a real turn would.
The Haar cascade needs OpenCV below 5, which merkit does not: it runs in the interpreter given, if one is.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.machine import header, run_and_weigh, spread

CANVAS = (640, 360)
FRAMES = 24
# as the fer package calls it (scaleFactor 1.1, minNeighbors 5, minSize 50), and with a smallest face of 20 px
HAAR = """
import json, sys
import cv2, numpy as np
cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
found = {"version": cv2.__version__}
for least in (50, 20):
    boxes = []
    for frame in np.load(sys.argv[1]):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        seen = cascade.detectMultiScale(grey, scaleFactor=1.1, minNeighbors=5, minSize=(least, least))
        boxes.append([[int(x), int(y), int(x + w), int(y + h)] for x, y, w, h in seen])
    found[f"haar, from {least} px"] = boxes
print(json.dumps(found))
"""


@dataclass(frozen=True, slots=True)
class Pose:
    """How a marked face is shown: height in pixels, roll in degrees, width as a share of what it was."""

    height_px: int = 100
    roll_deg: float = 0.0
    squeeze: float = 1.0


POSES = {
    "small": [Pose(height_px=h) for h in (20, 24, 32, 40, 50, 64, 100)],
    "rolled": [Pose(roll_deg=r) for r in (10, 20, 30, 45, 60)],
    "squeezed": [Pose(squeeze=s) for s in (0.8, 0.65, 0.5)],
    "small and rolled": [Pose(32, 20), Pose(40, 20), Pose(50, 30)],
}


def main() -> None:
    """Parses the command line and prints what was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, nargs="*", default=[], help="real material for the speed clip")
    parser.add_argument("--runs", type=int, default=3, help="timed runs; 0 leaves speed out")
    parser.add_argument("--fps", type=float, default=3.0)
    parser.add_argument("--expression", action="store_true", help="also run the face extractor over the crops")
    parser.add_argument("--recall", nargs="*", default=[], metavar="CLIP@x0,y0,x1,y1")
    parser.add_argument("--haar-python", help="an interpreter that has opencv-python-headless<5")
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "merkit-benchmarks")
    parser.add_argument("--follow", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.follow:
        follow(options.follow, options.fps, options.expression)
        return
    print(header("torch", "av", "numpy"))
    if options.runs:
        speed(options)
    if options.recall:
        recall(options.recall, options.haar_python)


def speed(options: argparse.Namespace) -> None:
    """Times fresh processes over one clip of a minute."""
    from benchmarks.analyze import make_clip

    clip = make_clip(options.source, 1.0, options.work)
    argv = [sys.executable, "-m", "benchmarks.faces", "--follow", str(clip), "--fps", str(options.fps)]
    argv += ["--expression"] if options.expression else []
    times, inner, peaks, counts = [], [], [], {}
    for _ in range(options.runs):
        with tempfile.TemporaryFile("w+") as out:
            wall_s, peak_mib, code = run_and_weigh(argv, stdout=out, env=os.environ | {"OMP_WAIT_POLICY": "PASSIVE"})
            if code:
                raise SystemExit(f"the run ended with {code}")
            out.seek(0)
            counts = json.loads(out.read())
        times.append(wall_s)
        inner.append(counts.pop("seconds"))
        peaks.append(peak_mib)
    what = "decode, detect, track, crop" + (", judge" if options.expression else "")
    print(f"60 s of 640x360 at {options.fps:g} frames a second; {what}; {counts}")
    print(f"  whole process          {spread(times, ' s')}  = {60 / np.median(times):.1f} x real time")
    print(f"  without start-up       {spread(inner, ' s')}  = {60 / np.median(inner):.1f} x real time")
    print(f"  peak memory, all procs {spread(peaks, ' MiB', 0)}")


def follow(clip: Path, fps: float, expression: bool) -> None:
    """One timed run, in its own process."""
    from merkit.media import VideoChunk, read_clip
    from merkit.perception import FaceFollower

    follower = FaceFollower()
    judge = None
    if expression:
        from merkit.features.face import FaceNetExtractor

        judge = FaceNetExtractor()
        judge(np.zeros((1, 112, 112, 3), np.uint8))
    begun = time.perf_counter()
    frames = faces = 0
    for chunk in read_clip(clip, fps=fps, audio=False):
        if isinstance(chunk, VideoChunk):
            found = follower.update(chunk.frames, chunk.times_s)
            frames, faces = frames + len(chunk.frames), faces + len(found)
            if judge is not None and len(found):
                judge(found.crops)
    persons = len(follower.finish().persons)
    print(json.dumps({"seconds": time.perf_counter() - begun, "frames": frames, "faces": faces, "persons": persons}))


def recall(marked: list[str], haar_python: str | None) -> None:
    """Prints, per pose, how many marked faces each detector finds and its false alarms."""
    from merkit.perception import FaceDetector

    frames = [(frame, box) for path, box in map(_parse, marked) for frame in _frames(path)]
    poses = [pose for group in POSES.values() for pose in group]
    shown = [[_show(frame, box, pose) for frame, box in frames] for pose in poses]
    pictures = np.stack([picture for row in shown for picture, _ in row])
    found: dict[str, list[list[list[float]]]] = {}
    detector = FaceDetector()
    found["merkit"] = [
        f.boxes.tolist() for i in range(0, len(pictures), 16) for f in detector.detect(pictures[i:][:16])
    ]
    if haar_python:
        with tempfile.TemporaryDirectory() as folder:
            np.save(Path(folder) / "pictures.npy", pictures)
            argv = [haar_python, "-c", HAAR, str(Path(folder) / "pictures.npy")]
            seen = json.loads(subprocess.run(argv, check=True, capture_output=True, text=True).stdout)
        print(f"OpenCV {seen.pop('version')}, haarcascade_frontalface_default")
        found |= seen
    print(f"{len(frames)} frames of {len(marked)} clips per row; found % (false alarms)")
    print(f"  {'':42}" + "".join(f"{name:>22}" for name in found))
    names = [f"{group}: {pose}" for group, members in POSES.items() for pose in map(_say, members)]
    for i, name in enumerate(names):
        cells = []
        for boxes in found.values():
            part = boxes[i * len(frames) : (i + 1) * len(frames)]
            hits = [[_hit(box, outline) for box in seen] for seen, (_, outline) in zip(part, shown[i], strict=True)]
            share = 100 * np.mean([any(row) for row in hits])
            cells.append(f"{share:.0f} ({sum(len(row) for row in hits) - sum(any(row) for row in hits)})")
        print(f"  {name:42}" + "".join(f"{cell:>22}" for cell in cells))


def _say(pose: Pose) -> str:
    return f"{pose.height_px} px, {pose.roll_deg:g} deg, width {pose.squeeze:g}"


def _parse(text: str) -> tuple[Path, np.ndarray]:
    path, _, numbers = text.rpartition("@")
    return Path(path), np.array([float(number) for number in numbers.split(",")])


def _frames(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        every = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return every[:: max(1, len(every) // FRAMES)][:FRAMES]


def _show(frame: np.ndarray, box: np.ndarray, pose: Pose) -> tuple[np.ndarray, np.ndarray]:
    """A canvas with the face in its middle, and the marked box's corners there `(4, 2)`."""
    scale = pose.height_px / (box[3] - box[1])
    turn = np.deg2rad(pose.roll_deg)
    forth = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ np.diag([pose.squeeze, 1]) * scale
    middle, centre = (box[:2] + box[2:]) / 2, np.array(CANVAS) / 2
    back = np.linalg.inv(forth)
    offset = middle - back @ centre
    # shrink first, by area: a single affine step would skip pixels
    step = max(1, int(1 / scale))
    reduced = Image.fromarray(frame).reduce(step)
    data = np.column_stack([back, offset]) / step
    fill = tuple(int(v) for v in np.median(frame[:, :8].reshape(-1, 3), axis=0))
    canvas = reduced.transform(
        CANVAS, Image.Transform.AFFINE, data.ravel().tolist(), Image.Resampling.BILINEAR, fillcolor=fill
    )
    corners = np.array([[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]]])
    return np.asarray(canvas), (corners - middle) @ forth.T + centre


def _hit(box: list[float], outline: np.ndarray) -> bool:
    low, high = outline.min(axis=0), outline.max(axis=0)
    middle = np.array([box[0] + box[2], box[1] + box[3]]) / 2
    longer, height = max(box[2] - box[0], box[3] - box[1]), np.linalg.norm(outline[3] - outline[0])
    return bool(((middle >= low) & (middle <= high)).all() and 0.5 <= longer / height <= 2.0)


if __name__ == "__main__":
    main()
