from __future__ import annotations

from types import ModuleType

import pytest
from invoke.collection import Collection
from invoke.tasks import task

from amltool.tasks.collection import collection


def tasks_module(**members: object) -> ModuleType:
    module = ModuleType("tasks")
    vars(module).update(members)
    return module


def named(name: str, **options: object) -> object:
    return task(lambda context: None, name=name, **options)


@pytest.fixture
def ours() -> Collection:
    namespace = Collection(named("submit"), named("check", aliases=("verify",)))
    namespace.add_collection(Collection("history", named("push")))
    return namespace


def test_both_kinds_of_tasks_are_in_one_namespace(ours: Collection) -> None:
    joined = collection(tasks_module(build=named("build")), ours)

    assert set(joined.task_names) == {"build", "submit", "check", "history.push"}


def test_aliases_of_ours_are_kept(ours: Collection) -> None:
    assert collection(tasks_module(), ours).task_names["check"] == ["verify"]


def test_a_users_task_wins_over_ours_of_that_name(ours: Collection) -> None:
    own = named("check")

    assert collection(tasks_module(check=own), ours)["check"] is own


def test_a_users_task_may_be_named_like_a_collection_of_ours(ours: Collection) -> None:
    assert "history" in collection(tasks_module(history=named("history")), ours).tasks


def test_a_users_default_task_stays_the_default(ours: Collection) -> None:
    assert collection(tasks_module(build=named("build", default=True)), ours).default == "build"


def test_our_tasks_imported_by_name_are_not_taken_twice(ours: Collection) -> None:
    joined = collection(tasks_module(submit=ours["submit"]), ours)

    assert joined["submit"] is ours["submit"]


def test_a_collection_of_the_user_can_be_added(ours: Collection) -> None:
    joined = collection(tasks_module(), ours)
    joined.add_collection(Collection("docs", named("build")))

    assert "docs.build" in joined.task_names


def test_our_namespace_is_not_changed(ours: Collection) -> None:
    collection(tasks_module(build=named("build")), ours)

    assert "build" not in ours.task_names


def test_what_is_no_module_is_refused_with_what_to_write(ours: Collection) -> None:
    with pytest.raises(TypeError, match=r"collection\(__name__\)"):
        collection("no_such_module_anywhere", ours)
