"""A container's log as it is written, and the few commands that the XCom sidecar is sent."""

from __future__ import annotations

import asyncio
import datetime as dt
import time

from aiohttp import web

from tests.kubernetes.emulator.kubelet import Kubelet, Run
from tests.kubernetes.emulator.values import ApiError, Object

_TICK = 0.05
_SUCCESS = b'\x03{"metadata":{},"status":"Success"}'


async def pod_log(request: web.BaseRequest, pod: Object, kubelet: Kubelet) -> web.StreamResponse:
    run = kubelet.runs.get(pod["metadata"]["uid"])
    names = [c["name"] for c in pod["spec"]["containers"]]
    name = request.query.get("container") or names[0]
    if name not in names:
        said = f"container {name} is not valid for pod {pod['metadata']['name']}"
        raise ApiError(400, "BadRequest", said)
    if pod["spec"].get("nodeName") in kubelet.lost:
        await asyncio.sleep(3600)
    if not pod["spec"].get("nodeName"):
        return web.Response(text="")
    if run is None or run.state in {"new", "create", "pull-error"}:
        said = f'container "{name}" in pod "{pod["metadata"]["name"]}" is waiting to start'
        raise ApiError(400, "BadRequest", said)
    answer = web.StreamResponse(headers={"Content-Type": "text/plain"})
    await answer.prepare(request)
    try:
        await _follow(request, answer, pod, kubelet, run, name)
        await answer.write_eof()
    except ConnectionError:
        pass
    return answer


async def _follow(
    request: web.BaseRequest,
    answer: web.StreamResponse,
    pod: Object,
    kubelet: Kubelet,
    run: Run,
    name: str,
) -> None:
    lines = run.lines if name == run.main else []
    stamped = request.query.get("timestamps", "").lower() == "true"
    follow = request.query.get("follow", "").lower() == "true"
    since = _since(request)
    tail = request.query.get("tailLines")
    at = max(0, len(lines) - int(tail)) if tail else 0
    while True:
        while at < len(lines):
            moment, line = lines[at]
            at += 1
            if moment >= since:
                await answer.write((_stamp(moment) if stamped else b"") + line)
        if not follow:
            return
        is_lost = pod["spec"].get("nodeName") in kubelet.lost
        if not is_lost and not _runs(pod, name) and at == len(lines):
            return
        await asyncio.sleep(_TICK)


def _runs(pod: Object, name: str) -> bool:
    statuses = pod["status"].get("containerStatuses") or ()
    return any(c["name"] == name and "running" in c["state"] for c in statuses)


def _since(request: web.BaseRequest) -> int:
    if seconds := request.query.get("sinceSeconds"):
        return time.time_ns() - int(seconds) * 10**9
    if moment := request.query.get("sinceTime"):
        parsed = dt.datetime.fromisoformat(moment.replace("Z", "+00:00"))
        return int(parsed.timestamp() * 1e9)
    return 0


def _stamp(moment: int) -> bytes:
    seconds, nanoseconds = divmod(moment, 10**9)
    said = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{said}.{nanoseconds:09d}Z ".encode()


async def pod_exec(request: web.BaseRequest, pod: Object, kubelet: Kubelet) -> web.StreamResponse:
    """Answer what the XCom sidecar is asked: print the result, and be killed."""
    run = kubelet.runs.get(pod["metadata"]["uid"])
    if run is None or run.state != "run":
        raise ApiError(500, "InternalError", "unable to upgrade connection: container not found")
    socket = web.WebSocketResponse(protocols=("v5.channel.k8s.io", "v4.channel.k8s.io"))
    await socket.prepare(request)
    command = " ".join(request.query.getall("command", []))
    if request.query.get("stdin", "").lower() not in {"true", "1"}:
        await _shell(socket, run, command)
        if not socket.closed:
            await socket.send_bytes(_SUCCESS)
            await socket.close()
    async for message in socket:
        data = message.data if isinstance(message.data, bytes) else message.data.encode()
        if data[:1] == b"\0":
            await _shell(socket, run, data[1:].decode())
    return socket


async def _shell(socket: web.WebSocketResponse, run: Run, command: str) -> None:
    if "return.json" in command and "rm " not in command:
        result = run.says.get("xcom") or "__airflow_xcom_result_empty__"
        await socket.send_bytes(b"\x01" + result.encode() + b"\n")
    if "kill" in command:
        run.sidecar_told = True
        await socket.send_bytes(_SUCCESS)
        await socket.close()
