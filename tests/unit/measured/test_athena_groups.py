"""The groups of projects of Athena and Larix, as larch reads them and by hand."""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path

import numpy as np
import pytest

from xanesml.measured.athena_groups import read_groups

PERL = r"""# Athena project file -- Demeter version 0.9.26
# This file created at 2020-01-01

$old_group = 'ab;c';
@args = ('label','O\'Brien, 3 % (\x{3b4})','bkg_eshift',"-1.5",'bkg_z' => 'Au','titles',['a','b (c'],'is_chi',0);
@x = ('11900.0','11901.5', '11903' );
@y = (0.1,0.2,'3e-1');
[record]   #

$old_group = 'second';
@args = ('note',undef);
@x = ('1','2');
@y = ('3','4');
[record]

1;
"""


def test_the_format_of_perl_by_hand() -> None:
    first, second = read_groups(PERL)
    assert (first.key, first.label) == ("ab;c", "O'Brien, 3 % (δ)")
    assert (first.text("bkg_z"), first.number("bkg_z")) == ("Au", None)
    assert (first.text("bkg_eshift"), first.number("bkg_eshift")) == ("", -1.5)
    assert first.number("is_chi") == 0
    assert first.arguments["titles"] == ""
    np.testing.assert_array_equal(first.energy, [11900.0, 11901.5, 11903.0])
    np.testing.assert_array_equal(first.mu, [0.1, 0.2, 0.3])
    assert (second.key, second.label, dict(second.arguments)) == ("second", "second", {"note": ""})


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("[record]", ""),
        ("@x = ('11900.0'", "@x = ('119oo.0'"),
        ("@x = ('11900.0'", "@x = ('11900.0', ('1')"),
        ("@y = (0.1,0.2,'3e-1');", "@y = (0.1,0.2,'3e-1'"),
        ("@y = (0.1,0.2,'3e-1');", ""),
        ("['a','b (c']", "['a','b (c'"),
        ("'bkg_z' =>", ""),
        ("$old_group", "$group"),
    ],
)
def test_what_is_no_whole_project_is_refused(old: str, new: str) -> None:
    text = PERL.replace(old, new)
    with pytest.raises((ValueError, LookupError)):
        read_groups(text)


@pytest.mark.requires("larch")
def test_they_are_what_larch_reads(tmp_path: Path) -> None:
    import larch
    from larch.io.athena_project import AthenaProject, parse_perlathena

    project = AthenaProject()
    for number, label in enumerate(("foil", "sample 2 (77 K), no. 3")):
        energy = 11800.0 + np.arange(300) / 3
        mu = np.arctan(energy - 11850 - number) + 0.1 * number
        project.add_group(larch.Group(__name__=label, energy=energy, mu=mu, filename=label, energy_shift=0.7 * number))
    project.save(str(tmp_path / "a.prj"))
    text = gzip.decompress((tmp_path / "a.prj").read_bytes()).decode()
    with contextlib.redirect_stdout(io.StringIO()):
        read = parse_perlathena(text, "a.prj")
    known = [getattr(read, name) for name in read.group_names]
    found = read_groups(text)
    assert [group.key for group in found] == [group.athena_params.id for group in known]
    for group, other in zip(found, known, strict=True):
        np.testing.assert_array_equal(group.energy, other.energy)
        np.testing.assert_array_equal(group.mu, other.mu)
        assert group.label == other.label
        for name in ("eshift", "z", "nor1", "nor2", "pre1", "pre2", "nnorm", "e0"):
            value = getattr(other.athena_params.bkg, name, None)
            mine = group.number(f"bkg_{name}") if isinstance(value, float) else group.text(f"bkg_{name}") or None
            assert mine == value
