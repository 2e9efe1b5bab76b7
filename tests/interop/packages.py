"""The third-party Python packages, in an environment of their own."""

import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
PYTHON = HERE / ".venv" / "bin" / "python"


def install():
    """The packages at the versions that requirements.txt names."""
    wanted = (HERE / "requirements.txt").read_bytes()
    stamp = HERE / ".venv" / "installed"
    if not stamp.exists() or stamp.read_bytes() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", HERE / ".venv"], check=True)
        pip = HERE / ".venv" / "bin" / "pip"
        options = ["--quiet", "--disable-pip-version-check", "-r", HERE / "requirements.txt"]
        subprocess.run([pip, "install", *options], check=True)
        stamp.write_bytes(wanted)
