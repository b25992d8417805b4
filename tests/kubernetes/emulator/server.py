"""The API server: paths and verbs, watches, logs and exec, over HTTP."""

from __future__ import annotations

import asyncio
import copy
import json
import time
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from tests.kubernetes.emulator.access import Access, Record, uses_of
from tests.kubernetes.emulator.faults import Faults, drop
from tests.kubernetes.emulator.kubelet import Kubelet
from tests.kubernetes.emulator.objects import CLUSTER_WIDE, KINDS, Objects
from tests.kubernetes.emulator.scheduler import Scheduler
from tests.kubernetes.emulator.streams import pod_exec, pod_log
from tests.kubernetes.emulator.values import (
    ApiError,
    Object,
    fields_match,
    json_patch,
    labels_match,
    merge,
)

_DONE = {"kind": "Status", "apiVersion": "v1", "status": "Success", "code": 201}


@dataclass(frozen=True)
class Path:
    """What a URL names."""

    group: str
    version: str
    namespace: str | None
    resource: str
    name: str | None
    sub: str

    @classmethod
    def of(cls, path: str) -> Path:
        parts = path.strip("/").split("/")
        if parts[0] == "api":
            group, version, rest = "", parts[1] if len(parts) > 1 else "", parts[2:]
        else:
            group, version, rest = parts[1] if len(parts) > 1 else "", "", parts[3:]
            version = f"{group}/{parts[2]}" if len(parts) > 2 else ""
        namespace = None
        if rest[:1] == ["namespaces"] and len(rest) > 2:
            namespace, rest = rest[1], rest[2:]
        if not rest:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        name = rest[1] if len(rest) > 1 else None
        return cls(group, version, namespace, rest[0], name, "/".join(rest[2:]))


class Server:
    """Answers requests about ``objects``."""

    def __init__(self, objects: Objects, scheduler: Scheduler, kubelet: Kubelet) -> None:
        self.objects = objects
        self.scheduler = scheduler
        self.kubelet = kubelet
        self.faults = Faults()
        self.access = Access()
        self.records: list[Record] = []
        self.watching: dict[int, web.BaseRequest] = {}

    async def serve(self, request: web.BaseRequest) -> web.StreamResponse:
        try:
            if (plain := _plain(request)) is not None:
                return plain
            path = Path.of(request.path)
            watch = _is_yes(request, "watch")
            uses = uses_of(
                request.method, path.group, path.resource, path.sub, path.name, watch=watch
            )
            at = time.monotonic()
            self.records += [Record(use, path.namespace, path.name, at) for use in uses]
            is_long = watch or path.sub in {"log", "exec"}
            after = await self.faults.before(request, is_long=is_long)
            self.access.check(uses, path.namespace)
            answer = await self._route(request, path, watch)
            if after is not None:
                drop(request)
        except ApiError as error:
            return web.json_response(error.body, status=error.code)
        return answer

    async def _route(self, request: web.BaseRequest, path: Path, watch: bool) -> web.StreamResponse:
        if path.group.startswith("kueue.") and not self.objects.kueue:
            raise ApiError(404, "NotFound", "the server could not find the requested resource")
        if path.resource == "pods" and path.sub in {"log", "exec"}:
            pod = self.objects.lookup("pods", path.namespace, path.name or "")
            stream = pod_log if path.sub == "log" else pod_exec
            return await stream(request, pod, self.kubelet)
        if request.method == "GET" and watch:
            return await self._watch(request, path)
        if request.method == "GET":
            return self._get(request, path)
        body = await _body(request)
        if request.method == "POST":
            return self._post(path, body)
        if request.method == "DELETE":
            return self._delete(request, path, body)
        if request.method == "PATCH":
            old = self.objects.lookup(path.resource, path.namespace, path.name or "")
            strategic = "strategic" in request.content_type or "apply" in request.content_type
            if isinstance(body, list):
                body = json_patch(copy.deepcopy(old), body)
            else:
                body = merge(copy.deepcopy(old), body, strategic=strategic)
        new = self.objects.update(
            path.resource, path.namespace, path.name or "", body, status=path.sub == "status"
        )
        return _one(path, new)

    def _get(self, request: web.BaseRequest, path: Path) -> web.Response:
        if path.name is not None:
            return _one(path, self.objects.lookup(path.resource, path.namespace, path.name))
        items = [of for of in self.objects.all(path.resource) if _selects(request, path, of)]
        listed = {
            "kind": KINDS.get(path.resource, "") + "List",
            "apiVersion": path.version,
            "metadata": {"resourceVersion": str(self.objects.version)},
            "items": items,
        }
        return web.json_response(listed)

    def _post(self, path: Path, body: Any) -> web.Response:
        if path.sub == "binding":
            pod = self.objects.lookup("pods", path.namespace, path.name or "")
            self.scheduler.bind(pod, body["target"]["name"])
            return web.json_response(_DONE, status=201)
        if path.sub == "eviction":
            self.scheduler.evict(
                self.objects.lookup("pods", path.namespace, path.name or ""),
                "EvictionByEvictionAPI",
            )
            return web.json_response(_DONE, status=201)
        return _one(path, self.objects.create(path.resource, path.namespace, body), 201)

    def _delete(self, request: web.BaseRequest, path: Path, body: Any) -> web.Response:
        given = {k: request.query[k] for k in ("gracePeriodSeconds",) if k in request.query}
        options = {**given, **(body or {})}
        if path.resource == "namespaces" and path.name is not None:
            gone = self.objects.lookup("namespaces", None, path.name)
            self.objects.delete_namespace(path.name)
            return _one(path, gone)
        if path.name is not None:
            deleted = self.objects.delete(path.resource, path.namespace, path.name, options)
            return _one(path, deleted)
        found = [of for of in self.objects.all(path.resource) if _selects(request, path, of)]
        for of in found:
            meta = of["metadata"]
            self.objects.delete(path.resource, meta.get("namespace"), meta["name"], options)
        return web.json_response({"kind": "List", "apiVersion": "v1", "items": found})

    async def _watch(self, request: web.BaseRequest, path: Path) -> web.StreamResponse:
        answer = web.StreamResponse(headers={"Content-Type": "application/json"})
        await answer.prepare(request)
        ends = time.monotonic() + float(request.query.get("timeoutSeconds") or 3600)
        since = int(request.query.get("resourceVersion") or 0)
        woken = asyncio.Event()
        self.objects.waiters.add(woken)
        self.watching[id(request)] = request
        seen: set[str] = set()
        try:
            if not since:
                since = self.objects.version
                for of in self.objects.all(path.resource):
                    if _selects(request, path, of):
                        seen.add(of["metadata"]["uid"])
                        await _tell(answer, path, "ADDED", of)
            while True:
                if since < self.objects.oldest:
                    await answer.write(json.dumps(_GONE).encode() + b"\n")
                    break
                past = self.objects.history.get(path.resource, [])
                for version, what, of in [entry for entry in past if entry[0] > since]:
                    since = version
                    if (said := _said(what, of, _selects(request, path, of), seen)) is not None:
                        await _tell(answer, path, said, of)
                woken.clear()
                try:
                    await asyncio.wait_for(woken.wait(), max(0.0, ends - time.monotonic()))
                except asyncio.TimeoutError:
                    break
            await answer.write_eof()
        except ConnectionError:
            pass
        finally:
            self.objects.waiters.discard(woken)
            self.watching.pop(id(request), None)
        return answer


_GONE = {
    "type": "ERROR",
    "object": {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": "too old resource version",
        "reason": "Expired",
        "code": 410,
    },
}


def _said(what: str, of: Object, selected: bool, seen: set[str]) -> str | None:
    """Return what a watcher is told of a change: what left its selection counts as deleted."""
    uid = of["metadata"]["uid"]
    if what == "DELETED" or (not selected and uid in seen):
        known = uid in seen or selected
        seen.discard(uid)
        return "DELETED" if known else None
    if not selected:
        return None
    was_seen = uid in seen
    seen.add(uid)
    return what if was_seen or what == "ADDED" else "MODIFIED"


def _plain(request: web.BaseRequest) -> web.Response | None:
    if request.path.strip("/") == "version":
        said = {"major": "1", "minor": "36", "gitVersion": "v1.36.0-emulated"}
        return web.json_response(said)
    if request.path.strip("/") in {"healthz", "readyz", "livez"}:
        return web.Response(text="ok")
    return None


def _selects(request: web.BaseRequest, path: Path, of: Object) -> bool:
    meta, query = of["metadata"], request.query
    is_elsewhere = meta.get("namespace") != path.namespace
    if path.namespace and path.resource not in CLUSTER_WIDE and is_elsewhere:
        return False
    if path.name is not None and meta["name"] != path.name:
        return False
    return labels_match(query.get("labelSelector"), meta.get("labels") or {}) and fields_match(
        query.get("fieldSelector"), of
    )


async def _body(request: web.BaseRequest) -> Any:
    try:
        return json.loads(await request.read() or b"null") if request.body_exists else None
    except ValueError as error:
        raise ApiError(400, "BadRequest", "invalid JSON") from error


async def _tell(answer: web.StreamResponse, path: Path, what: str, of: Object) -> None:
    event = {"type": what, "object": dict(of, apiVersion=path.version)}
    await answer.write(json.dumps(event).encode() + b"\n")


def _one(path: Path, of: Object, status: int = 200) -> web.Response:
    kind = of.get("kind", KINDS.get(path.resource, ""))
    return web.json_response(dict(of, kind=kind, apiVersion=path.version), status=status)


def _is_yes(request: web.BaseRequest, name: str) -> bool:
    return request.query.get(name, "").lower() in {"true", "1"}
