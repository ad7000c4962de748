from benchmarks import bench_reduced_jpeg


def test_benchmark_of_reduced_jpegs_runs(capsys):
    assert bench_reduced_jpeg.main(["--images", "1", "--ratios", "2", "--turns", "1"]) == 0
    printed = capsys.readouterr().out
    assert "2048 x 1536   decode" in printed
    assert "long side 2 times the model's   mean IoU at half scale 0.9" in printed
