"""What a record calls a processor."""

import pytest

from benchmarks.suite.processor import processor_name


@pytest.mark.parametrize(
    ("cpuinfo", "name"),
    [
        pytest.param(
            "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 17\nmodel name\t: AMD EPYC\n",
            "AMD EPYC (Zen 4)",
            id="a virtual machine says no more than the maker",
        ),
        pytest.param(
            "vendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\nmodel name\t: AMD EPYC 7763\n",
            "AMD EPYC 7763 (Zen 3)",
            id="the same family, another model",
        ),
        pytest.param(
            "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 143\n"
            "model name\t: Intel(R) Xeon(R) Processor\n",
            "Intel Xeon Processor (Sapphire Rapids)",
            id="without its trademarks",
        ),
        pytest.param(
            "vendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 85\n"
            "model name\t: Intel Xeon Processor (Skylake or Cascade Lake)\n",
            "Intel Xeon Processor (Skylake or Cascade Lake)",
            id="not twice",
        ),
        pytest.param(
            "vendor_id\t: AuthenticAMD\ncpu family\t: 99\nmodel\t\t: 1\nmodel name\t: AMD Next\n",
            "AMD Next (family 99, model 1)",
            id="unknown",
        ),
        pytest.param("CPU implementer\t: 0x41\nCPU part\t: 0xd0c\n", "aarch64 (Neoverse N1)", id="ARM"),
        pytest.param("CPU part\t: 0xfff\n", "aarch64 (part 0xfff)", id="another of ARM"),
        pytest.param("uarch\t: sifive,u74-mc\n", "aarch64", id="no name at all"),
    ],
)
def test_a_processor_is_named_with_its_microarchitecture(cpuinfo: str, name: str) -> None:
    assert processor_name(cpuinfo, "aarch64") == name
