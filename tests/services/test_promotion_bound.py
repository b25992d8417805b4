"""What was judged and approved is what is promoted: anything that changed since voids both."""

from __future__ import annotations

import hashlib

import pytest

from airflow_ai_provider.core.errors import (
    EvidenceError,
    LedgerError,
    PromotionConflictError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)
from airflow_ai_provider.core.gate import GateDraft, GateKind, Verdict
from airflow_ai_provider.core.promotion.artifacts import tree_digest
from airflow_ai_provider.store.evidence import Evidences
from airflow_ai_provider.store.schema import evidence as evidence_table
from airflow_ai_provider.store.schema import gate_record, ledger_head
from tests.services.promotion_world import World

FILES = {"MLmodel": b"flavors: {}\n", "data/weights": b"1234"}
DIGEST = tree_digest({path: hashlib.sha256(content).hexdigest() for path, content in FILES.items()})
MEASURED = {"artifact_digest": DIGEST}
OVERRIDE = {"by": "ada", "reason": "it must go"}


@pytest.fixture
def world(store):
    made = World(store)
    made.registry.put_files("m", "1", FILES)
    return made


def change(world, table, row, **values):
    with world.store.write() as connection:
        connection.execute(table.update().where(row).values(**values))


def alter(world, record, **values):
    change(world, gate_record, gate_record.c.id == record, **values)


def data_gate(world):
    draft = GateDraft(kind=GateKind.DATA, subject="ai-data://d/1", verdict=Verdict.PASS)
    return world.ledger.append(draft).id


def nothing_moved(world):
    return world.registry.aliases("m") == {} and world.promotions.claimed("m") is None


def test_the_files_that_were_judged_go_on_record(world):
    done = world.promote("dev", decision=world.decide(measured=MEASURED), approval=world.approve())
    (found,) = [c for c in done.record.criteria if c["name"] == "artifact"]
    assert (found["limit"], found["observed"], found["verdict"]) == (DIGEST, DIGEST, "pass")


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "data/weights": b"1235"},
        {**FILES, "more": b""},
        {"MLmodel": FILES["MLmodel"]},
        {"MLmodel": FILES["MLmodel"], "data/weight": b"1234"},
    ],
    ids=["other bytes", "one more", "one less", "another name"],
)
@pytest.mark.parametrize("override", [None, OVERRIDE])
def test_a_changed_artifact_voids_decision_and_approval(world, files, override):
    said = {"decision": world.decide(measured=MEASURED), "approval": world.approve()}
    world.registry.put_files("m", "1", files)
    with pytest.raises(EvidenceError, match=r"changed since they were judged.*void"):
        world.promote("dev", override=override, **said)
    assert nothing_moved(world)
    world.registry.put_files("m", "1", FILES)
    assert world.promote("dev", **said).version == "1"


def test_the_note_of_who_loads_is_no_part_of_the_model(world):
    world.registry.put_files("m", "1", {**FILES, "registered_model_meta": b"model_name: m\n"})
    assert world.promote("dev", decision=world.decide(measured=MEASURED)).version == "1"


def test_files_that_cannot_be_read_let_nothing_pass(world):
    decision = world.decide(measured=MEASURED)
    world.registry.put_files("m", "1", {})
    with pytest.raises(RegistryNotFoundError, match="has no files"):
        world.promote("dev", decision=decision)
    look = world.registry.artifact_digest

    def away(*_version):
        raise RegistryUnavailableError("The files are away.")

    world.registry.artifact_digest = away
    with pytest.raises(RegistryUnavailableError):
        world.promote("dev", decision=decision)
    assert nothing_moved(world)
    world.registry.artifact_digest = look


def test_where_no_digest_was_measured_no_file_is_read(world):
    world.promote("dev", decision=world.decide(measured={"artifact_digest": None}))
    assert "artifact_digest" not in world.registry.calls


def test_a_version_that_was_made_anew_is_not_the_one_that_was_judged(world):
    decision = world.decide(run_id="run1")
    assert world.promote("dev", decision=decision).version == "1"
    with pytest.raises(EvidenceError, match=r"is of run run1, judged was one of run other"):
        world.promote("test", decision=world.decide(run_id="other"))


def test_an_alias_that_changed_voids_the_move(world):
    decision, approval = world.decide(measured=MEASURED), world.approve()
    world.registry.set_alias("m", "dev", "2")
    with pytest.raises(PromotionConflictError, match="somebody outside Airflow"):
        world.promote("dev", decision=decision, approval=approval)
    assert world.registry.aliases("m") == {"dev": "2"}


def test_evidence_that_changed_in_the_store_voids(world):
    kept = Evidences(world.store).keep({"model_name": "m", "measured": MEASURED})
    said = {
        "decision": world.decide(evidence_hash=kept),
        "approval": world.approve(evidence_hash=kept),
    }
    change(world, evidence_table, evidence_table.c.hash == kept, content='{"model_name": "m"}')
    with pytest.raises(EvidenceError, match="was changed after it was stored"):
        world.promote("dev", **said)
    assert nothing_moved(world)


def test_an_approval_alone_binds_to_the_files_of_its_evidence(world):
    kept = Evidences(world.store).keep({"model_name": "m", "measured": MEASURED})
    said = {"approval": world.approve(evidence_hash=kept), "evidence_hash": kept}
    world.registry.put_files("m", "1", {"MLmodel": b"another"})
    with pytest.raises(EvidenceError, match="changed since they were judged"):
        world.promote("dev", **said)
    world.registry.put_files("m", "1", FILES)
    assert world.promote("dev", **said).version == "1"


# --- the chain ---------------------------------------------------------------------------------


def test_a_whole_chain_lets_pass(world):
    gates, drift = [data_gate(world) for _ in range(3)], data_gate(world)
    decision = world.decide(training={"gates": gates}, data={"drift": drift})
    assert world.promote("dev", decision=decision, approval=world.approve()).version == "1"


@pytest.mark.parametrize("place", [0, 1, 2])
@pytest.mark.parametrize("sealed", [False, True], ids=["altered", "altered and sealed anew"])
def test_an_altered_record_stops_the_move(world, place, sealed):
    gates = [data_gate(world) for _ in range(3)]
    decision = world.decide(training={"gates": gates})
    alter(world, gates[place], subject="ai-data://d/2")
    if sealed:  # by somebody who can compute a hash
        from airflow_ai_provider.core.gate import digest

        alter(world, gates[place], hash=digest(world.ledger.get(gates[place]).content()))
    with pytest.raises(LedgerError, match=f"does not hold at record {gates[place]}"):
        world.promote("dev", decision=decision, override=OVERRIDE)
    assert nothing_moved(world)


@pytest.mark.parametrize("named", [True, False], ids=["one it rests on", "any other"])
def test_a_missing_record_stops_the_move(world, named):
    gone = data_gate(world)
    decision = world.decide(training={"gates": [gone] if named else []})
    with world.store.write() as connection:
        connection.execute(gate_record.delete().where(gate_record.c.id == gone))
    with pytest.raises(LedgerError, match=r"it is not there|1 of 2 are not there"):
        world.promote("dev", decision=decision)
    assert nothing_moved(world)


def test_a_head_that_was_altered_stops_the_move(world):
    decision = world.decide()
    change(world, ledger_head, ledger_head.c.id == 1, hash="0" * 64)
    with pytest.raises(LedgerError, match="what comes after it follows another record"):
        world.promote("dev", decision=decision)


def test_an_altered_approval_of_several_stops_the_move(world):
    parts = [world.approve(by=name) for name in ("ada", "bob")]
    both = world.approve(by="ada, bob", approvals=parts)
    alter(world, parts[1], decided_by="eve")
    with pytest.raises(LedgerError):
        world.promote("dev", decision=world.decide(), approval=both)
    assert nothing_moved(world)


def test_a_way_back_rests_on_the_moves_that_it_undoes(world):
    for version in ("1", "2"):
        world.promote("dev", version)
    first, second = world.ledger.search()
    alter(world, second.id, decided_by="eve")
    with pytest.raises(LedgerError, match=second.id):
        world.roll_back("dev")
    alter(world, second.id, decided_by=second.decided_by)
    alter(world, first.id, decided_by="eve")
    with pytest.raises(LedgerError, match=first.id):
        world.roll_back("dev")
    assert world.registry.aliases("m") == {"dev": "2"}
    alter(world, first.id, decided_by=first.decided_by)
    assert world.roll_back("dev").version == "1"
