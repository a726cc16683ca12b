"""What pyproject.toml cannot say: how the C data path is built, and that it may be missing."""

import os

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext


class BuildFastPath(build_ext):
    """Builds `wgpy._fastpath`, or says in a sentence what is used instead of it."""

    def build_extension(self, ext: Extension) -> None:
        try:
            super().build_extension(ext)
        except Exception:
            # The extension is optional: whoever called us reports the error and goes on.
            print("wgpy: the C data path could not be built, so the portable one in Python is installed.")
            raise


# WGPY_PURE: make the wheel for every processor and libc, with the portable data path alone.
setup(
    cffi_modules=[] if os.environ.get("WGPY_PURE") else ["wgpy/fastpath/build.py:ffibuilder"],
    cmdclass={"build_ext": BuildFastPath},
)
