from benchmarks import bench_scale
from benchmarks.bench_scale import Costs, print_paper


def cells(line):
    return line.strip("| ").split(" | ")


def test_benchmark_of_replicas_runs_and_finds_in_redis_what_another_replica_embedded(
    capsys, tmp_path
):
    tiny = ["--checkpoint", "demo", "--replicas", "2", "--annotators", "2", "--clicks", "3"]
    tiny += ["--width", "120", "--height", "100", "--log", str(tmp_path / "log")]
    assert bench_scale.main(tiny) == 0
    printed = capsys.readouterr().out
    assert "cores, Python" in printed
    assert "JPEG images of 120 x 100" in printed
    (row,) = [cells(line) for line in printed.splitlines() if line.startswith("| 2 | 2 |")]
    assert int(row[5]) > 0
    assert row[6] == "0"


def test_paper_multiplies_the_costs_of_one_image_and_one_click(capsys):
    """A quarter of a second an image: 69.4 hours for a million, in twelve hours on six machines."""
    print_paper(Costs(encode_s=0.25, decode_s=0.02, stored_bytes=2_100_000))
    rows = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("| ")]
    assert [row[1:] for row in rows[1:]] == [
        ["4.0", "2,100", "1"],
        ["23.1", "2,100", "6"],
        ["16.7", "1,008", "17"],  # 16.7 x 0.25 + 200 x 0.02 = 8.2 machines, half loaded
    ]
