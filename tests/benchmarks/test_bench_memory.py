import math

from benchmarks import bench_memory


def test_benchmark_of_memory_and_start_runs(capsys, tmp_path):
    tiny = ["--checkpoint", "demo", "--images", "0", "2", "--starts", "2"]
    tiny += ["--width", "120", "--height", "100", "--log", str(tmp_path / "log")]
    assert bench_memory.main(tiny) == 0
    printed = capsys.readouterr().out
    assert "cores, Python" in printed
    assert "JPEG images of 120 x 100" in printed
    rows = [line.strip("| ").split(" | ") for line in printed.splitlines() if line.startswith("| ")]
    assert [row[0] for row in rows] == [
        *("seconds to the first healthy /health", "first", "later"),
        *("cached images", "0", "2"),
    ]
    assert [row[3] for row in rows[1:3]] == ["1", "2"]
    assert all(math.isfinite(float(figure)) for row in rows[4:] for figure in row[1:])
    assert float(rows[5][2]) > 100  # a process with torch in it
