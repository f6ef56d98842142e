"""A Python with the libraries that train and export models, and with ONNX Runtime: from pip, in a virtual
environment that is kept in the cache folder. Tests and benchmarks say what they left out when there is none."""

from __future__ import annotations

import hashlib
import os
import subprocess
from pathlib import Path
from typing import Optional, Tuple

# Versions that go together: a newer protobuf refuses the booleans that skl2onnx gives it for integers.
PACKAGES = ("numpy==2.2.6", "protobuf==5.29.5", "scikit-learn==1.5.2", "skl2onnx==1.20.0", "onnxmltools==1.16.0",
            "onnx==1.18.0", "onnxruntime==1.32.0", "xgboost-cpu==3.2.0", "lightgbm==4.7.0")
INSTALL_S = 900


def peers_python() -> Tuple[Optional[Path], str]:
    """The interpreter, or None and why. Made once for a list of packages."""
    cache = Path(os.environ.get("DROVER_CACHE") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") /
                 "drover")
    home = cache / f"score-peers-{hashlib.sha256(' '.join(PACKAGES).encode()).hexdigest()[:12]}"
    python = home / "bin" / "python"
    if (home / "complete").exists():
        return python, ""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        subprocess.run(["/usr/bin/python3", "-m", "venv", "--clear", str(home)], check=True, capture_output=True)
        subprocess.run([str(home / "bin" / "pip"), "-q", "--disable-pip-version-check", "install", *PACKAGES],
                       check=True, capture_output=True, timeout=INSTALL_S)
    except (OSError, subprocess.SubprocessError) as wrong:
        said = getattr(wrong, "stderr", b"") or b""
        return None, f"no exporters and no ONNX Runtime: pip could not install them: {said.decode()[-300:] or wrong}"
    (home / "complete").touch()
    return python, ""
