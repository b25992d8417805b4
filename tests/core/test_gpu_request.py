from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from airflow_ai_provider.core.errors import GpuRequestError, SettingsError
from airflow_ai_provider.core.gpu.devices import (
    Device,
    DeviceKind,
    cuda_visible,
    parse_static_devices,
)
from airflow_ai_provider.core.gpu.lease import TaskIdentity, Ticket, spec_of
from airflow_ai_provider.core.gpu.memory import parse_memory
from airflow_ai_provider.core.gpu.request import GpuRequest

short_text = st.text(alphabet="cpu:01,@ GiB.-x\0é", max_size=20)


def test_nothing_given_means_one_whole_device() -> None:
    request = GpuRequest.of()
    assert (request.gpus, request.memory_mib, request.mig_profile) == (1, None, None)


@pytest.mark.parametrize("profile", ["1g.10gb", "1G.10GB", "1c.3g.40gb", "1g.10gb+me"])
def test_a_mig_profile_is_written_as_the_driver_does(profile: str) -> None:
    assert GpuRequest.of(mig_profile=profile).mig_profile == profile.lower()


def test_templates_make_numbers_text() -> None:
    request = GpuRequest.of(gpus="2", priority="7", max_wait="30", estimate="1.5")
    assert (request.gpus, request.priority, request.max_wait, request.estimate) == (2, 7, 30, 1.5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"gpus": 0},
        {"gpus": -1},
        {"gpus": True},
        {"gpus": 1.5},
        {"gpus": "many"},
        {"gpus": [1]},
        {"gpus": 2**31},
        {"gpus": "nan"},
        {"gpus": ""},
        {"gpus": "inf"},
        {"gpus": 1, "gpu_memory": "1GiB"},
        {"gpus": 0, "gpu_memory": "1GiB"},
        {"gpus": 1, "mig_profile": "1g.10gb"},
        {"gpu_memory": "1GiB", "mig_profile": "1g.10gb"},
        {"gpu_memory": "-1GiB"},
        {"gpu_memory": "lots"},
        {"gpu_memory": ""},
        {"mig_profile": ""},
        {"gpu_pool": 7},
        {"team": " "},
        {"project": "x" * 251},
        {"idle_limit": "nan"},
        {"estimate": -1},
        {"gpu_memory": "10"},
        {"gpu_memory": 10},
        {"gpu_memory": "0GiB"},
        {"gpu_memory": "9999999999TiB"},
        {"mig_profile": "big"},
        {"gpu_pool": ""},
        {"gpu_model": 3},
        {"phase": "retirement"},
        {"max_wait": -1},
        {"max_wait": "inf"},
        {"estimate": "soon"},
        {"priority": "high"},
    ],
)
def test_what_means_nothing_is_refused_with_a_remedy(arguments: dict[str, object]) -> None:
    with pytest.raises(GpuRequestError) as caught:
        GpuRequest.of(**arguments)
    assert caught.value.remedy


@settings(max_examples=40, deadline=None)
@given(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), short_text, st.lists(st.none())
    ),
    st.sampled_from(["gpus", "gpu_memory", "mig_profile", "priority", "max_wait", "phase"]),
)
def test_any_argument_is_taken_or_refused_by_type(value: object, name: str) -> None:
    try:
        request = GpuRequest.of(**{name: value})
    except GpuRequestError:
        return
    assert GpuRequest(**spec_of(request)) == request


@pytest.mark.parametrize(
    ("text", "mib"),
    [("10GiB", 10240), ("10Gi", 10240), ("512 MiB", 512), ("1GB", 954), ("0.5GiB", 512)],
)
def test_memory_is_read_in_mib(text: str, mib: int) -> None:
    assert parse_memory(text) == mib


def test_static_devices_are_read() -> None:
    devices = parse_static_devices("cpu:0, cpu:1,npu:0@16GiB", host="here")
    assert [d.uuid for d in devices] == ["cpu:0", "cpu:1", "npu:0"]
    assert [d.model for d in devices] == ["cpu", "cpu", "npu"]
    assert [d.memory_mib for d in devices] == [None, None, 16384]
    assert {d.kind for d in devices} == {DeviceKind.STATIC}
    assert parse_static_devices("", host="here") == ()


@pytest.mark.parametrize("text", ["cpu:0,cpu:0", "cpu:0,,cpu:1", "a b", "cpu:0@much", ",", "-x"])
def test_a_wrong_declaration_is_refused(text: str) -> None:
    with pytest.raises(SettingsError):
        parse_static_devices(text, host="here")


@settings(max_examples=40, deadline=None)
@given(short_text)
def test_any_declaration_is_read_or_refused_by_type(text: str) -> None:
    try:
        devices = parse_static_devices(text, host="here")
    except SettingsError:
        return
    assert len({d.uuid for d in devices}) == len(devices)


def test_cuda_is_told_only_of_names_that_it_knows() -> None:
    assert cuda_visible(("cpu:0", "cpu:1")) == ""
    gpu = "GPU-1b2c3d4e-0000-1111-2222-333344445555"
    assert cuda_visible((gpu, "MIG-aa/1/0")) == f"{gpu},MIG-aa/1/0"


def test_a_request_suits_a_device_by_pool_model_memory_and_kind() -> None:
    card = Device(uuid="g", host="h", model="NVIDIA A100-SXM4-80GB", memory_mib=81920)
    slice_ = Device(uuid="m", host="h", kind=DeviceKind.MIG, mig_profile="1g.10gb")
    assert GpuRequest.of(gpu_model="a100").suits(card)
    assert not GpuRequest.of(gpu_model="H100").suits(card)
    assert not GpuRequest.of(gpu_pool="other").suits(card)
    assert GpuRequest.of(gpu_memory="80GiB").suits(card)
    assert not GpuRequest.of(gpu_memory="81GiB").suits(card)
    assert not GpuRequest.of().suits(slice_)
    assert GpuRequest.of(mig_profile="1g.10gb").suits(slice_)


def test_a_ticket_is_the_same_for_the_same_holder_and_name() -> None:
    request = GpuRequest.of()
    first = Ticket(holder="a", request=request)
    assert first.id == Ticket(holder="a", request=GpuRequest.of(gpus=2)).id
    assert first.id != Ticket(holder="b", request=request).id
    assert first.id != Ticket(holder="a", request=request, name="second").id


def test_a_task_is_told_in_one_line() -> None:
    task = TaskIdentity(dag_id="d", run_id="r", task_id="t", map_index=3, try_number=1, ti_id="x")
    assert task.describe() == "d/r/t[3]#1"
    assert TaskIdentity().describe() is None
