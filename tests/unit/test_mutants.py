"""The list of mutants fits the sources, which `make mutants` would otherwise find out only at its turn."""

from __future__ import annotations

from mutants import LIST, REPOSITORY, read_mutants


def test_every_mutant_changes_one_place_and_names_tests_that_exist():
    mutants = read_mutants(LIST)
    assert len(mutants) > 70
    assert len({mutant.name for mutant in mutants}) == len(mutants)
    for mutant in mutants:
        assert mutant.old != mutant.new, mutant.name
        for path in mutant.tests.split():
            assert (REPOSITORY / path).exists(), (mutant.name, path)
