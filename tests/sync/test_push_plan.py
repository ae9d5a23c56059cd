"""The push half of planning: single cases, and random changes against a cloud that refuses what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloudfs.model.entry import Version
from cloudfs.model.enums import Kind
from cloudfs.model.marked_names import is_parked_name
from cloudfs.model.node import ROOT, Place
from cloudfs.sync.push_plan import Change, Delete, MakeFolder, Move, Operation, PushPlan, Upload, plan_push
from tests.sync.two_trees import Entry, Local, Remote

V = Version('"v"', None, 3)


def at(name: bytes, parent: int = ROOT) -> Place:
    return Place(parent, name)


def file(
    inode: int,
    place: Place | None,
    cloud: Place | None,
    *,
    base: Version | None = V,
    modified: bool = False,
    ready: bool = True,
    quiet: bool = True,
) -> Change:
    base = base if cloud is not None else None
    return Change(inode, Kind.FILE, place, cloud, base, modified, is_ready=ready, is_quiet=quiet)


def folder(inode: int, place: Place | None, cloud: Place | None, *, ready: bool = True) -> Change:
    base = Version(None, None, 0) if cloud is not None else None
    return Change(inode, Kind.FOLDER, place, cloud, base, False, is_ready=ready)


def plan(
    *changes: Change,
    brake: int = 100,
    confirmed: Collection[int] = (),
    cloud_parents: Callable[[int], Place | None] = lambda _: None,
) -> PushPlan:
    return plan_push(
        changes, cloud_parents=cloud_parents, confirmed=confirmed, delete_brake=brake, token="1a"
    )


def operations(plan: PushPlan) -> list[Operation]:
    return [step.operation for step in plan.steps]


def precedes(plan: PushPlan, one: Operation, other: Operation) -> bool:
    """Whether `other` waits for `one`, directly or not."""
    numbers = {step.operation: number for number, step in enumerate(plan.steps)}
    todo, seen = [numbers[other]], set[int]()
    while todo:
        for number in plan.steps[todo.pop()].after:
            if number not in seen:
                seen.add(number)
                todo.append(number)
    return numbers[one] in seen


def test_nothing_changed_is_nothing_to_do() -> None:
    assert plan() == PushPlan((), (), ())


def test_new_files_and_folders_come_from_the_top() -> None:
    made = plan(file(12, at(b"f", 11), None), folder(11, at(b"e", 10), None), folder(10, at(b"d"), None))
    make, below = MakeFolder(10, at(b"d")), MakeFolder(11, at(b"e", 10))
    assert operations(made) == [make, below, Upload(12, at(b"f", 11), None)]
    assert [step.after for step in made.steps] == [(), (0,), (1,)]


def test_an_edit_names_its_base() -> None:
    assert operations(plan(file(10, at(b"f"), at(b"f"), modified=True))) == [Upload(10, at(b"f"), V)]


def test_a_file_moved_and_edited_is_moved_first() -> None:
    made = plan(file(10, at(b"new"), at(b"old"), modified=True))
    assert operations(made) == [Move(10, at(b"old"), at(b"new")), Upload(10, at(b"new"), V)]
    assert made.steps[1].after == (0,)


def test_a_file_moved_over_another_is_one_step_and_no_delete() -> None:
    made = plan(file(10, at(b"b"), at(b"a")), file(11, None, at(b"b")), brake=0)
    assert operations(made) == [Move(10, at(b"a"), at(b"b"), replaces=11)]
    assert made.held == ()


def test_a_folder_moved_over_an_empty_one_waits_until_that_is_gone() -> None:
    made = plan(folder(10, at(b"b"), at(b"a")), folder(11, None, at(b"b")))
    delete = Delete(11, Kind.FOLDER, at(b"b"), Version(None, None, 0))
    assert operations(made) == [delete, Move(10, at(b"a"), at(b"b"))]
    assert made.steps[1].after == (0,)


@pytest.mark.parametrize("kind", [Kind.FILE, Kind.FOLDER])
def test_a_new_entry_of_the_other_kind_waits_until_the_removed_one_is_gone(kind: Kind) -> None:
    if kind is Kind.FILE:
        made = plan(file(10, at(b"x"), None), folder(11, None, at(b"x")))
    else:
        made = plan(folder(10, at(b"x"), None), file(11, None, at(b"x")))
    assert isinstance(made.steps[0].operation, Delete)
    assert made.steps[1].after == (0,)


def test_a_swap_parks_one_of_the_two() -> None:
    made = plan(file(10, at(b"b"), at(b"a")), file(11, at(b"a"), at(b"b")))
    parked = at(b"a (moving 1a-10)"), at(b"b (moving 1a-11)")
    first, second, third = operations(made)
    assert isinstance(first, Move)
    assert first.target in parked
    assert isinstance(second, Move)
    assert third == Move(first.inode, first.target, second.source)


def test_a_swap_of_a_folder_and_a_file_parks_the_file() -> None:
    made = plan(folder(10, at(b"b"), at(b"a")), file(11, at(b"a"), at(b"b")))
    first = made.steps[0].operation
    assert isinstance(first, Move)
    assert first.inode == 11


def test_an_exchanged_pair_of_nested_folders() -> None:
    made = plan(folder(10, at(b"a", 11), at(b"a")), folder(11, at(b"b"), at(b"b", 10)))
    assert operations(made) == [Move(11, at(b"b", 10), at(b"b")), Move(10, at(b"a"), at(b"a", 11))]
    assert made.steps[1].after == (0,)


def test_an_exchanged_pair_of_nested_folders_of_one_name() -> None:
    made = plan(folder(10, at(b"x", 11), at(b"x")), folder(11, at(b"x"), at(b"x", 10)))
    parked = at(b"x (moving 1a-10)")
    assert operations(made) == [
        Move(10, at(b"x"), parked),
        Move(11, at(b"x", 10), at(b"x")),
        Move(10, parked, at(b"x", 11)),
    ]


def test_a_folder_moved_into_a_new_one_that_lies_in_what_was_below_it() -> None:
    """`mv a/b b; mkdir b/new; mv a b/new/a`."""
    made = plan(
        folder(10, at(b"a", 12), at(b"a")),
        folder(11, at(b"b"), at(b"b", 10)),
        folder(12, at(b"new", 11), None),
    )
    assert precedes(made, Move(11, at(b"b", 10), at(b"b")), Move(10, at(b"a"), at(b"a", 12)))


def test_what_was_parked_goes_on_from_there() -> None:
    parked = at(b"a (moving 1a-10)")
    assert operations(plan(file(10, at(b"b"), parked))) == [Move(10, parked, at(b"b"))]


def test_a_folder_goes_after_all_that_was_in_it() -> None:
    made = plan(
        folder(10, None, at(b"d")),
        folder(11, None, at(b"e", 10)),
        file(12, None, at(b"f", 11)),
        file(13, at(b"kept"), at(b"g", 10)),
    )
    top = Delete(10, Kind.FOLDER, at(b"d"), Version(None, None, 0))
    assert made.steps[-1].operation == top
    below = Delete(11, Kind.FOLDER, at(b"e", 10), Version(None, None, 0))
    assert precedes(made, below, top)
    assert precedes(made, Delete(12, Kind.FILE, at(b"f", 11), V), below)
    assert precedes(made, Move(13, at(b"g", 10), at(b"kept")), top)


def test_a_move_out_of_a_folder_into_one_that_takes_its_name() -> None:
    """`mv d/e new/; rmdir d; mv new d`."""
    made = plan(
        folder(10, None, at(b"d")),
        folder(11, at(b"d"), at(b"new")),
        folder(12, at(b"e", 11), at(b"e", 10)),
    )
    assert len(made.steps) == 4
    assert made.steps[0].operation == Move(10, at(b"d"), at(b"d (moving 1a-10)"))
    assert Delete(10, Kind.FOLDER, at(b"d (moving 1a-10)"), Version(None, None, 0)) in operations(made)


def test_independent_changes_wait_for_nothing() -> None:
    made = plan(
        folder(10, at(b"d2"), at(b"d")),
        file(11, at(b"f", 10), at(b"f", 10), modified=True),
        file(12, at(b"g"), None),
    )
    assert [step.after for step in made.steps] == [(), (), ()]


def test_an_entry_in_a_folder_that_the_cloud_lacks_and_nobody_makes_is_blocked() -> None:
    made = plan(file(10, at(b"f", 77), None), file(11, at(b"g", 77), at(b"g")))
    assert made == PushPlan((), (), (10, 11))


def test_a_removed_file_of_unknown_version_is_not_deleted() -> None:
    made = plan(file(10, None, at(b"f"), base=None), folder(11, at(b"f"), None))
    assert made == PushPlan((), (), (10, 11))


def test_a_file_kept_open_for_writing_is_moved_and_not_sent() -> None:
    """Log rotation: the new log does not wait for the old one's close."""
    made = plan(file(10, at(b"log.1"), at(b"log"), modified=True, quiet=False), file(11, at(b"log"), None))
    assert operations(made) == [Move(10, at(b"log"), at(b"log.1")), Upload(11, at(b"log"), None)]
    assert made.blocked == ()


def test_what_waits_for_its_next_try_blocks_those_that_need_it() -> None:
    made = plan(
        folder(10, at(b"d"), None, ready=False),
        file(11, at(b"f", 10), None),
        file(12, at(b"b"), at(b"a"), ready=False),
        file(13, at(b"a"), None),
        file(14, at(b"other"), None),
    )
    assert operations(made) == [Upload(14, at(b"other"), None)]
    assert set(made.blocked) == {11, 13}


def test_a_file_that_is_about_to_be_replaced_stays_while_its_successor_waits() -> None:
    made = plan(file(10, at(b"b"), at(b"a"), ready=False), file(11, None, at(b"b")), brake=0)
    assert made == PushPlan((), (), (11,))


def test_more_removals_than_the_brake_are_held_all_of_them() -> None:
    removed = [file(10 + i, None, at(b"%d" % i)) for i in range(5)]
    assert plan(*removed, brake=5).held == ()
    made = plan(*removed, file(20, at(b"new"), None), brake=4)
    assert made.held == (10, 11, 12, 13, 14)
    assert operations(made) == [Upload(20, at(b"new"), None)]


def test_confirmed_removals_are_not_counted() -> None:
    removed = [file(10 + i, None, at(b"%d" % i)) for i in range(5)]
    made = plan(*removed, brake=1, confirmed=(10, 11, 12))
    assert made.held == (13, 14)
    assert len(made.steps) == 3


def test_what_needs_the_name_of_a_held_removal_is_blocked() -> None:
    made = plan(
        folder(10, None, at(b"x")), file(11, at(b"x"), None), file(12, at(b"y", 13), at(b"z")), brake=0
    )
    assert made.held == (10,)
    assert set(made.blocked) == {11, 12}


def test_a_folder_with_a_held_removal_in_it_stays() -> None:
    made = plan(folder(10, None, at(b"d")), file(11, None, at(b"f", 10)), brake=0, confirmed=(10,))
    assert made == PushPlan((), (11,), (10,))


def test_the_places_of_two_scopes_that_make_no_tree_end_the_search() -> None:
    made = plan(
        folder(10, at(b"a", 20), at(b"a")),
        cloud_parents={20: at(b"x", 21), 21: at(b"y", 20)}.get,
    )
    assert operations(made) == [Move(10, at(b"a"), at(b"a", 20))]


def test_many_changes_are_planned_in_no_time() -> None:
    """A circle in every folder, and one folder that loses everything: nothing is quadratic in these."""
    changes = [folder(9, None, at(b"d"))]
    for i in range(10, 20_010, 2):
        changes.append(file(i, at(b"b%d" % i), at(b"a%d" % i)))
        changes.append(file(i + 1, at(b"a%d" % i), at(b"b%d" % i)))
        changes.append(file(100_000 + i, None, at(b"%d" % i, 9)))
    made = plan(*changes, brake=100_000)
    assert len(made.steps) == 40_001


# --- random histories ---

NAMES = [b"a", b"b", b"c"]
numbers = st.integers(0, 29)
acts = st.tuples(
    st.sampled_from(["file", "folder", "write", "remove", "move", "exchange", "ready", "quiet"]),
    numbers,
    numbers,
    numbers,
)
moves = st.tuples(st.sampled_from(["move", "exchange"]), numbers, numbers, numbers)


def seeded(first: Sequence[tuple[int, int, bool]]) -> Local:
    """A tree that both sides agree on."""
    remote = Remote()
    folders = [ROOT]
    for inode, (parent, name, is_folder) in enumerate(first, start=10):
        place = Place(folders[parent % len(folders)], NAMES[name % 3])
        if place in remote.at:
            continue
        remote.at[place] = inode
        remote.entries[inode] = Entry(Kind.FOLDER if is_folder else Kind.FILE, inode)
        if is_folder:
            folders.append(inode)
    return Local(remote)


def act(local: Local, what: str, one: int, other: int, third: int) -> None:
    folders, linked = local.folders(), sorted(local.at.values())
    place = Place(folders[other % len(folders)], NAMES[third % 3])
    if what in ("file", "folder"):
        local.create(place, Kind.FILE if what == "file" else Kind.FOLDER)
    elif linked:
        inode = linked[one % len(linked)]
        match what:
            case "write":
                local.write(inode)
            case "remove":
                local.remove(inode)
            case "move":
                local.move(inode, place)
            case "exchange":
                local.exchange(inode, linked[other % len(linked)])
            case "ready":
                local.unready ^= {inode}
            case "quiet":
                local.unquiet ^= {inode}


def shuffled(plan: PushPlan, choices: Iterator[int], done: set[int]) -> Iterator[int]:
    """Step numbers in an order that keeps to `after`; what waits for a step not in `done` never comes."""
    left = list(range(len(plan.steps)))
    while free := [number for number in left if set(plan.steps[number].after) <= done]:
        number = free[next(choices, 0) % len(free)]
        left.remove(number)
        yield number


def push(local: Local, choices: Iterator[int], *, is_failing: bool, brake: int = 1000) -> PushPlan:
    """One round: any order, and with `is_failing` some steps that do nothing."""
    plan = local.plan(brake=brake)
    done = set[int]()
    for number in shuffled(plan, choices, done):
        if not is_failing or next(choices, 0) % 4:
            local.carry_out(plan.steps[number].operation)
            done.add(number)
    assert is_failing or len(done) == len(plan.steps)
    return plan


@settings(max_examples=400, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=5, max_size=10),
    st.lists(acts, min_size=8, max_size=24),
    st.lists(numbers, min_size=20, max_size=60),
    st.integers(0, 24),
    st.sampled_from([0, 1, 3, 1000]),
)
def test_no_order_is_refused_and_every_plan_comes_to_an_end(
    first: list[tuple[int, int, bool]],
    history: list[tuple[str, int, int, int]],
    choices: list[int],
    cut: int,
    brake: int,
) -> None:
    local = seeded(first)
    picks = iter(choices)
    for step in history[:cut]:
        act(local, *step)
    push(local, picks, is_failing=True, brake=brake)
    for step in history[cut:]:
        act(local, *step)
    push(local, picks, is_failing=True, brake=brake)
    local.unready.clear()
    local.unquiet.clear()
    dirty = sum(isinstance(step.operation, Upload) for step in local.plan().steps)
    sent = local.remote.bytes_sent
    plan = push(local, picks, is_failing=False)
    assert (plan.held, plan.blocked) == ((), ())
    assert local.remote.bytes_sent - sent == dirty
    assert local.is_pushed()
    assert local.plan() == PushPlan((), (), ())
    assert not any(is_parked_name(place.name, inode) for place, inode in local.remote.at.items())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=5, max_size=10),
    st.lists(moves, min_size=6, max_size=16),
    st.lists(numbers, min_size=20, max_size=60),
)
def test_moves_send_no_content_and_take_one_step_each_and_one_more_a_circle(
    first: list[tuple[int, int, bool]], history: list[tuple[str, int, int, int]], choices: list[int]
) -> None:
    local = seeded(first)
    for step in history:
        act(local, *step)
    changes = local.changes()
    plan = push(local, iter(choices), is_failing=False)
    parkings = [step for step in plan.steps if _parks(step.operation)]
    assert local.is_pushed()
    assert local.remote.bytes_sent == 0
    assert len(plan.steps) <= len(changes) + len(parkings)
    assert len(parkings) <= len(changes) // 2


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(numbers, numbers, st.booleans()), min_size=5, max_size=10),
    st.lists(acts, max_size=14),
    st.integers(0, 4),
)
def test_every_change_is_sent_held_blocked_or_not_ready(
    first: list[tuple[int, int, bool]], history: list[tuple[str, int, int, int]], brake: int
) -> None:
    local = seeded(first)
    for step in history:
        act(local, *step)
    plan = local.plan(brake=brake)
    told = {step.operation.inode for step in plan.steps} | set(plan.held) | set(plan.blocked)
    told |= {op.replaces for op in operations(plan) if isinstance(op, Move) and op.replaces is not None}
    told |= local.unready | local.unquiet
    assert all(change.inode in told for change in local.changes())
    deletes = [op for op in operations(plan) if isinstance(op, Delete)]
    assert len(deletes) <= max(brake, 0)
    for number, planned in enumerate(plan.steps):
        assert all(before < number for before in planned.after)


def _parks(operation: Operation) -> bool:
    return isinstance(operation, Move) and is_parked_name(operation.target.name, operation.inode)
