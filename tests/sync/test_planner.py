"""The pull half of the planner: moves, removals, and the delete brake."""

from hypothesis import given
from hypothesis import strategies as st

from cloudfs.sync.planner import Lost, LostFile, plan_absences


def file(inode: int, *, twin: int | None = None, elsewhere: bool = False) -> Lost:
    return Lost(inode, 0, (LostFile(inode, twin, elsewhere or twin is not None),))


def test_a_lost_file_is_removed() -> None:
    plan = plan_absences([file(7)], (), 100)
    assert (plan.moves, plan.removals, plan.held) == ((), (7,), ())


def test_more_than_the_brake_holds_all_of_them() -> None:
    lost = [file(i) for i in range(10, 21)]
    plan = plan_absences(lost, (), 10)
    assert plan.removals == ()
    assert plan.held == tuple(range(10, 21))
    assert plan.held_deletes == 11


def test_exactly_the_brake_passes() -> None:
    assert len(plan_absences([file(i) for i in range(10)], (), 10).removals) == 10


def test_a_folder_counts_with_all_it_held() -> None:
    folder = Lost(3, 2, tuple(LostFile(i, None, False) for i in range(10, 13)))
    assert folder.deletes == 5
    assert plan_absences([folder], (), 4).held == (3,)
    assert plan_absences([folder], (), 5).removals == (3,)


def test_what_came_up_elsewhere_is_no_delete() -> None:
    by_id, by_tag = file(5, twin=50), file(6, elsewhere=True)
    plan = plan_absences([by_id, by_tag], (), 0)
    assert plan.moves == ((5, 50),)
    assert plan.removals == (6,)
    assert plan.held == ()


def test_one_twin_serves_one_file() -> None:
    assert plan_absences([file(5, twin=50), file(6, twin=50)], (), 9).moves == ((5, 50),)


def test_confirmed_names_go_and_new_ones_are_counted_afresh() -> None:
    lost = [file(i) for i in range(8)]
    plan = plan_absences(lost, {0, 1, 2, 3, 4}, 2)
    assert plan.removals == (0, 1, 2, 3, 4)
    assert plan.held_deletes == 3


names = st.builds(
    Lost,
    st.integers(0, 1000),
    st.integers(0, 3),
    st.lists(
        st.builds(LostFile, st.integers(1001, 2000), st.none() | st.integers(2001, 2050), st.booleans()),
        max_size=5,
    ).map(tuple),
)


@given(
    st.lists(names, max_size=20, unique_by=lambda n: n.inode),
    st.sets(st.integers(0, 1000)),
    st.integers(0, 20),
)
def test_every_name_is_removed_or_held_and_never_more_than_the_brake(
    lost: list[Lost], confirmed: set[int], brake: int
) -> None:
    plan = plan_absences(lost, confirmed, brake)
    assert sorted(plan.removals + plan.held) == sorted(name.inode for name in lost)
    removed = [n for n in lost if n.inode in plan.removals and n.inode not in confirmed]
    assert sum(name.deletes for name in removed) <= brake
    assert not confirmed & set(plan.held)
    assert len({twin for _, twin in plan.moves}) == len(plan.moves)
