"""The played GPU forgives as little as a real one; else the tests on it would prove nothing."""

import pytest
import torch
import torch.nn.functional as F


def mixed_devices():
    return torch.ones(2, device="cuda") + torch.ones(2)


def mixed_types():
    return torch.ones(2, 2, device="cuda") @ torch.ones(2, 2, device="cuda", dtype=torch.float16)


def half_norm_with_float_weight():
    x = torch.ones(2, 2, device="cuda", dtype=torch.float16)
    return F.layer_norm(x, (2,), torch.ones(2, device="cuda"), torch.ones(2, device="cuda"))


def pixels_without_a_copy():
    return torch.ones(2, device="cuda").numpy()


def a_copy_that_is_not_there_yet():
    return torch.ones(2, device="cuda").to("cpu", non_blocking=True)


def read_too_early():
    with torch.cuda.stream(torch.cuda.Stream()):
        made = torch.ones(2, device="cuda")
    return made + 1


def written_too_early():
    place = torch.zeros(2, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(torch.cuda.Stream()):
        place.sum()
    place.fill_(1)


def captured_wait():
    stream = torch.cuda.Stream()
    with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=stream):
        torch.ones(1, device="cuda").item()


def captured_transfer():
    stream = torch.cuda.Stream()
    with torch.cuda.graph(torch.cuda.CUDAGraph(), stream=stream):
        torch.ones(1).to("cuda", non_blocking=True)


@pytest.mark.parametrize(
    ("mistake", "words"),
    [
        pytest.param(mixed_devices, "same device", id="devices"),
        pytest.param(mixed_types, "type", id="types"),
        pytest.param(half_norm_with_float_weight, "type", id="norm"),
        pytest.param(pixels_without_a_copy, "numpy", id="numpy"),
        pytest.param(a_copy_that_is_not_there_yet, "before it is there", id="early-copy"),
        pytest.param(read_too_early, "writing still", id="early-read"),
        pytest.param(written_too_early, "reading still", id="early-write"),
        pytest.param(captured_wait, "capturing", id="captured-wait"),
        pytest.param(captured_transfer, "capturing", id="captured-transfer"),
    ],
)
def test_mistakes_on_a_gpu_are_refused(played_gpu, mistake, words):
    with pytest.raises((RuntimeError, TypeError), match=words):
        mistake()


def test_graph_is_replayed_from_and_to_its_own_places(played_gpu):
    graph, stream = torch.cuda.CUDAGraph(), torch.cuda.Stream()
    place = torch.zeros(3, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.graph(graph, stream=stream):
        result = place.view(3, 1) * 2 + 1
    stream.synchronize()
    with torch.cuda.stream(stream):
        place.fill_(5)
        graph.replay()
        assert result.flatten().cpu().tolist() == [11, 11, 11]


def test_streams_that_wait_for_each_other_may_share(played_gpu):
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        made = torch.ones(2, device="cuda")
    torch.cuda.current_stream().wait_stream(stream)
    assert (made + 1).cpu().tolist() == [2, 2]
