"""Metrics as text, by Prometheus' description of its format."""

from wgpy.prometheus import Family, Sample, exposition


def test_families_are_written_as_prometheus_reads_them() -> None:
    peers = Sample(1 << 60, {"peer": "web-1", "way": "in"}), Sample(0.5, {"peer": "web-2", "way": "in"})
    families = [
        Family("bytes_total", "counter", "Bytes of peers.", peers),
        Family("up", "gauge", "Whether it is.", (Sample(1),)),
    ]

    assert exposition(families).decode() == (
        "# HELP bytes_total Bytes of peers.\n"
        "# TYPE bytes_total counter\n"
        'bytes_total{peer="web-1",way="in"} 1152921504606846976\n'
        'bytes_total{peer="web-2",way="in"} 0.5\n'
        "# HELP up Whether it is.\n"
        "# TYPE up gauge\n"
        "up 1\n"
    )


def test_a_histogram_has_a_name_for_each_of_its_parts() -> None:
    samples = Sample(2, {"le": "+Inf"}, "_bucket"), Sample(0.25, suffix="_sum"), Sample(2, suffix="_count")

    lines = exposition([Family("wait", "histogram", "Seconds.", samples)]).decode().splitlines()

    assert lines[2:] == ['wait_bucket{le="+Inf"} 2', "wait_sum 0.25", "wait_count 2"]


def test_nothing_in_a_label_or_a_help_ends_it() -> None:
    family = Family("x", "gauge", "one\\two\nthree", (Sample(1, {"name": 'a"b\\c\nd'}),))

    assert exposition([family]).decode().splitlines() == [
        "# HELP x one\\\\two\\nthree",
        "# TYPE x gauge",
        'x{name="a\\"b\\\\c\\nd"} 1',
    ]


def test_what_cannot_be_counted_is_infinite() -> None:
    samples = Sample(float("inf")), Sample(float("-inf"))

    assert exposition([Family("x", "gauge", "", samples)]).endswith(b"x +Inf\nx -Inf\n")
