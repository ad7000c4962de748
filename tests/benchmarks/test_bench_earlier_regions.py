from benchmarks import bench_earlier_regions


def test_benchmark_of_earlier_regions_runs(capsys, tmp_path):
    tiny = [
        "--checkpoint",
        "demo",
        "--regions",
        "2",
        "--clicks",
        "1",
        "--width",
        "120",
        "--height",
        "100",
    ]
    assert bench_earlier_regions.main([*tiny, "--log", str(tmp_path / "log")]) == 0
    printed = capsys.readouterr().out
    assert "2 earlier regions" in printed
    assert "ratio of the medians" in printed
