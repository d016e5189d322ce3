"""Projects: their file, what is written for them, and the commands that need nothing else."""

from __future__ import annotations

import json
import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archc.commands import ours
from archc.compiler.language.codes import CODES
from archc.compiler.language.problems import Source
from archc.compiler.spec.folders import SHIPPED, networks
from archc.compiler.spec.reader import Mapping, Scalar
from archc.project import find, models, toml

from .running import Result, Run, runner

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "project.md").read_text(encoding="utf-8")
SPEC = """\
archc: 1
extends: lenet_cifar.yaml
name: A
"""
PROJECT = """\
specs = ["specs/*.yaml"]
backends = ["torch"]

[variants.a_five]
spec = "specs/a.yaml"
set = {classes = 5}
"""


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs the command in a project of one spec and a variant of it."""
    monkeypatch.chdir(tmp_path)
    Path("specs").mkdir()
    Path("specs/a.yaml").write_text(SPEC)
    Path("archc.toml").write_text(PROJECT)

    return runner(capsys)


def fates(result: Result) -> dict[str, str]:
    """What became of each file."""
    return dict(re.findall(r"^(.*): (created|changed|unchanged),", result.out, re.MULTILINE))


# ---------------------------------------------------------------------------------------- TOML


def plain(node: Any) -> Any:
    if isinstance(node, dict):
        return {str(key): plain(value) for key, value in node.items()}
    return [plain(each) for each in node] if isinstance(node, list) else str(node)


def expected(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: expected(each) for key, each in value.items()}
    if isinstance(value, list):
        return [expected(each) for each in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def check_places(node: Any) -> None:
    """Each key and each text stands where it says."""
    for key, value in node.items() if isinstance(node, Mapping) else ():
        line = key.place.source.lines[key.place.line - 1]
        written = line[key.place.column - 1 :][: key.place.length]
        assert written == key or tomllib.loads(f"{written} = 1") == {key: 1}
        check_places(value)
    for each in node if isinstance(node, list) else ():
        check_places(each)
    if isinstance(node, Scalar) and node.place.length > 1:
        line = node.place.source.lines[node.place.line - 1]
        written = line[node.place.column - 1 :][: node.place.length]
        assert str(node) in (written, expected(tomllib.loads(f"it = {written}")["it"]))


EVERYTHING = '''\
a.b."c d".e = 1  # a = 2
f = [ # [
  1, 2.5, -3e4, [ "a]", 'b' ], {x = 1, y.z = true},
]
g = """multi
line "quoted" [x]
"""
h = \'\'\'it's raw\'\'\'
i = 0x1F
j = [{a=1},{b="}"}]
"k=" = "v#"
l = """a\\""""
m = """""two"""""
n = -inf
o = 1979-05-27 07:32:00
p = ""
[t.u]
x = "\\"no" # comment
[[arr]]
q=1
[[arr]]
q = 1_000
[arr.sub]
z=[]
[ t . "v.w" ]
n={}
'''


@pytest.mark.parametrize("text", [EVERYTHING, (ROOT / "pyproject.toml").read_text(), PROJECT, ""])
def test_toml_is_read_as_the_standard_library_does(text: str) -> None:
    root, problems = toml.read(Source("x.toml", text))
    assert problems == []
    assert plain(root) == expected(tomllib.loads(text))
    check_places(root)


_BARE = st.text("abz09_-", min_size=1, max_size=4)
_TEXT = st.text('ab#=[]{}.,"\\ é', max_size=6)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


_VALUE = st.recursive(
    st.one_of(
        st.integers(-99, 99).map(str),
        st.floats(allow_nan=False, allow_infinity=False, width=16).map(repr),
        st.sampled_from(["true", "false", "'raw # ]'", '"""a\nb"""', "'''}'''"]),
        _TEXT.map(_quoted),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{', '.join(items)}]"),
        st.lists(inner, min_size=1, max_size=2).map(
            lambda items: "[\n  " + ", # [\n ".join(items) + ",\n]"
        ),
        st.dictionaries(_BARE, inner, max_size=3).map(
            lambda items: f"{{{', '.join(f'{key} = {value}' for key, value in items.items())}}}"
        ),
    ),
    max_leaves=6,
)
_KEY = st.lists(st.one_of(_BARE, _TEXT.map(_quoted)), min_size=1, max_size=2).map(".".join)
_LINE = st.one_of(
    st.tuples(_KEY, _VALUE).map(" = ".join),
    _KEY.map("[{}]".format),
    _KEY.map("[[ {} ]] # x".format),
    st.just("# [x]"),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_LINE, max_size=6).map("\n".join))
def test_any_toml_is_read_so(text: str) -> None:
    try:
        wanted = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assert [problem.code for problem in toml.read(Source("x.toml", text))[1]] == ["E004"]
        return
    root, problems = toml.read(Source("x.toml", text))
    assert problems == []
    assert plain(root) == expected(wanted)
    check_places(root)


# -------------------------------------------------------------------------------- what it may say


WRONG = {
    "unknown key": (
        "spec = []\n",
        "archc.toml:1:1: E010 unknown key `spec`\n"
        "    1 | spec = []\n"
        "      | ^^^^\n"
        "      = help: did you mean `specs`?\n",
    ),
    "syntax": (
        'specs = ["a.yaml"\n',
        "archc.toml:2:1: E004 TOML syntax: unclosed array\n",
    ),
    "a text for a list": (
        'specs = "specs/*.yaml"\n',
        "archc.toml:1:9: E012 `specs/*.yaml` where a list belongs\n"
        '    1 | specs = "specs/*.yaml"\n'
        "      |         ^^^^^^^^^^^^^^\n"
        '      = help: write `["specs/*.yaml"]`\n',
    ),
    "a pattern without files": (
        'specs = ["spec/*.yaml"]\n',
        "archc.toml:1:10: P001 `spec/*.yaml` matches no file\n"
        '    1 | specs = ["spec/*.yaml"]\n'
        "      |          ^^^^^^^^^^^^^\n"
        "      = help: patterns start at the project's folder\n",
    ),
    "no such spec": (
        'specs = ["mnv3_lrge"]\n',
        "archc.toml:1:10: P001 there is no spec `mnv3_lrge`\n"
        '    1 | specs = ["mnv3_lrge"]\n'
        "      |          ^^^^^^^^^^^\n"
        "      = help: did you mean the shipped `mnv3_large` or `lraspp_mnv3_large` or"
        " `mnv3_small`?\n",
    ),
    "a pattern of the whole disk": (
        'specs = ["/*.yaml"]\n',
        "archc.toml:1:10: P001 `/*.yaml` is no pattern\n"
        '    1 | specs = ["/*.yaml"]\n'
        "      |          ^^^^^^^^^\n"
        "      = help: a pattern starts at the project's folder\n",
    ),
    "no spec": (
        'output = "x"\n',
        "archc.toml:1:1: E011 the project names no spec\n"
        '    1 | output = "x"\n'
        "      | ^\n"
        '      = help: write `specs = ["specs/*.yaml"]`\n',
    ),
    "nothing": (
        "",
        "archc.toml:1:1: E011 the project names no spec\n"
        '      = help: write `specs = ["specs/*.yaml"]`\n',
    ),
    "a backend": (
        'specs = ["mnv3_large"]\nbackends = ["pytorch"]\n',
        "archc.toml:2:13: P002 unknown backend `pytorch`\n"
        '    2 | backends = ["pytorch"]\n'
        "      |             ^^^^^^^^^\n"
        "      = help: did you mean `torch`?\n",
    ),
    "two of a name": (
        'specs = ["specs/a.yaml"]\n[variants.a]\nspec = "mnv3_large"\n',
        "archc.toml:2:11: P003 two networks are called `a`, and so would be their files\n"
        "    2 | [variants.a]\n"
        "      |           ^\n"
        "      = the first: archc.toml:1:10\n"
        '    1 | specs = ["specs/a.yaml"]\n'
        "      |          ^^^^^^^^^^^^^^\n"
        "      = help: call a variant otherwise, or rename one of the specs\n",
    ),
    "a folder elsewhere": (
        'specs = ["mnv3_large"]\noutput = "../out"\n',
        "archc.toml:2:10: P004 `../out` leads out of the project's folder\n"
        '    2 | output = "../out"\n'
        "      |          ^^^^^^^^\n"
        "      = help: name a folder below, or give another one with `--out`\n",
    ),
    "a folder that is not there": (
        'specs = ["mnv3_large"]\ninclude = ["more"]\n',
        "archc.toml:2:12: P001 there is no folder `more`\n"
        '    2 | include = ["more"]\n'
        "      |            ^^^^^^\n"
        "      = help: folders start at the project's\n",
    ),
    "a variant without a spec": (
        "[variants.x]\nset = {alpha = 1}\n",
        "archc.toml:1:11: E011 the key `spec` is missing\n"
        "    1 | [variants.x]\n"
        "      |           ^\n",
    ),
    "a variant that is none": (
        '[variants]\nx = "mnv3_large"\n',
        "archc.toml:2:5: E012 `mnv3_large` where a mapping belongs\n"
        '    2 | x = "mnv3_large"\n'
        "      |     ^^^^^^^^^^^^\n"
        '      = help: write `{spec = "FILE", set = {NAME = VALUE}}`\n',
    ),
    "a variant's name": (
        '[variants."../x"]\nspec = "mnv3_large"\n',
        "archc.toml:1:11: E013 `../x` cannot be a file's name\n"
        '    1 | [variants."../x"]\n'
        "      |           ^^^^^^\n"
        "      = help: use letters, digits, underscores, dots and hyphens; start with one of the"
        " first three\n",
    ),
    "an unknown parameter": (
        '[variants.x]\nspec = "mnv3_large"\nset = {alhpa = 1}\n',
        "archc.toml:3:8: E050 unknown parameter `alhpa`\n"
        "    3 | set = {alhpa = 1}\n"
        "      |        ^^^^^\n"
        "      = help: did you mean `alpha`?\n",
    ),
    "a value": (
        '[variants.x]\nspec = "mnv3_large"\nset.alpha = 0\n',
        "archc.toml:3:13: E035 `alpha` is 0; it must be above 0\n"
        "    3 | set.alpha = 0\n"
        "      |             ^\n",
    ),
    "a value that cannot be read": (
        '[variants.x]\nspec = "mnv3_large"\nset = {alpha = "1 +"}\n',
        "archc.toml:3:20: E051 the expression ends where a value is expected\n"
        '    3 | set = {alpha = "1 +"}\n'
        "      |                    ^\n",
    ),
    "no such recipe": (
        'specs = ["mnv3_large"]\nrecipes = ["lennet"]\n',
        "archc.toml:2:12: P001 there is no recipe `lennet`\n"
        '    2 | recipes = ["lennet"]\n'
        "      |            ^^^^^^^^\n"
        "      = help: did you mean `lenet`?\n",
    ),
    "no such file of a recipe": (
        'specs = ["mnv3_large"]\nrecipes = {mnv3_large = ["recipes/ours.yaml"]}\n',
        "archc.toml:2:26: P001 there is no recipe `recipes/ours.yaml`\n"
        '    2 | recipes = {mnv3_large = ["recipes/ours.yaml"]}\n'
        "      |                          ^^^^^^^^^^^^^^^^^^^\n"
        "      = help: name a file, from the project's folder, or a shipped recipe\n",
    ),
    "a pattern without recipes": (
        'specs = ["mnv3_large"]\nrecipes = ["recipes/*.yaml"]\n',
        "archc.toml:2:12: P001 `recipes/*.yaml` matches no file\n"
        '    2 | recipes = ["recipes/*.yaml"]\n'
        "      |            ^^^^^^^^^^^^^^^^\n"
        "      = help: patterns start at the project's folder\n",
    ),
    "a text for recipes": (
        'specs = ["mnv3_large"]\nrecipes = "lenet"\n',
        "archc.toml:2:11: E012 `lenet` where a list, or a table of lists by network, belongs\n"
        '    2 | recipes = "lenet"\n'
        "      |           ^^^^^^^\n"
        '      = help: write `recipes = ["FILE"]`\n',
    ),
    "a text for the recipes of a network": (
        '[recipes]\nmnv3_large = "lenet"\n',
        "archc.toml:2:14: E012 `lenet` where a list belongs\n"
        '    2 | mnv3_large = "lenet"\n'
        "      |              ^^^^^^^\n"
        '      = help: write `["lenet"]`\n',
    ),
    "a list in a list of recipes": (
        'specs = ["mnv3_large"]\nrecipes = [["lenet"]]\n',
        "archc.toml:2:12: E012 a list where a text belongs\n"
        '    2 | recipes = [["lenet"]]\n'
        "      |            ^\n",
    ),
    "a network to train that is none": (
        'specs = ["specs/*.yaml"]\nrecipes = {b = ["lenet"]}\n',
        "archc.toml:2:12: P005 no network of the project is called `b`\n"
        '    2 | recipes = {b = ["lenet"]}\n'
        "      |            ^\n"
        "      = help: one of `a`\n",
    ),
    "a pattern of networks to train": (
        'specs = ["mnv3_large", "mnv3_small"]\n[recipes]\n"mnv2_*" = ["lenet"]\n',
        "archc.toml:3:1: P005 no network of the project is called `mnv2_*`\n"
        '    3 | "mnv2_*" = ["lenet"]\n'
        "      | ^^^^^^^^\n"
        "      = help: one of `mnv3_large`, `mnv3_small`\n",
    ),
    "a network that is not trained": (
        '[variants.x]\nspec = "mnv3_large"\ninference = true\n[recipes]\nx = ["lenet"]\n',
        "archc.toml:5:1: T006 `x` is written for inference, and not to be trained\n"
        '    5 | x = ["lenet"]\n'
        "      | ^\n"
        "      = help: name another network\n",
    ),
    "a network that a script cannot import": (
        'naming = "{backend}-{name}"\nspecs = ["mnv3_large"]\nbackends = ["torch"]\n'
        'recipes = ["lenet"]\n',
        "archc.toml:2:10: E013 a script of training cannot import `torch-mnv3_large`: it is no"
        " name in Python\n"
        '    2 | specs = ["mnv3_large"]\n'
        "      |          ^^^^^^^^^^^^\n"
        "      = help: call the network otherwise, or change `naming`\n",
    ),
    "naming": (
        'specs = ["mnv3_large"]\nnaming = "{stem}"\n',
        "archc.toml:2:10: E012 `{stem}` does not say what to call a file\n"
        '    2 | naming = "{stem}"\n'
        "      |          ^^^^^^^^\n"
        "      = help: write {name} once and {backend}, as in `{name}_{backend}`\n",
    ),
    "strictness": (
        'specs = ["mnv3_large"]\nstrict = "very"\n',
        "archc.toml:2:10: E012 `very` where `true` or `false` belongs\n"
        '    2 | strict = "very"\n'
        "      |          ^^^^^^\n",
    ),
}


@pytest.mark.parametrize(("text", "said"), WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_told_where_it_stands(run: Run, text: str, said: str) -> None:
    Path("archc.toml").write_text(text)
    result = run("build")
    assert (result.code, result.out) == (2, "")
    assert re.sub("^archc: .*\n", "", result.err, flags=re.MULTILINE) == said
    assert not Path("generated").exists()


def test_every_code_of_projects_is_told_and_described() -> None:
    codes = {code for code in CODES if code.startswith("P")}
    assert codes == set(re.findall(r"\bP\d{3}\b", "".join(said for _, said in WRONG.values())))
    assert all(f"| `{code}` | {CODES[code]} |" in PAGE for code in codes)


def test_every_key_is_described() -> None:
    for model in (models.ProjectSpec, models.VariantSpec):
        assert all(f"| `{key}` |" in PAGE for key in model.model_fields)


def test_the_example_of_the_docs(run: Run) -> None:
    example, *_ = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    shutil.copy(SHIPPED / "lenet_cifar.yaml", "specs/mine.yaml")
    Path("archc.toml").unlink()
    Path("pyproject.toml").write_text(example)
    result = run("build")
    assert result.code == 0, result.err
    assert "generated/mnv3_small_075_keras.py" in fates(result)


# -------------------------------------------------------------------------------- where it is found


def test_the_nearest_file_counts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("below/deep").mkdir(parents=True)
    monkeypatch.chdir("below/deep")
    assert [*fates(run("build"))] == [
        "../../generated/a_torch.py",
        "../../generated/a_five_torch.py",
    ]
    Path("../pyproject.toml").write_text('[project]\nname = "archc-user"\n')
    assert str(found()) == "../../archc.toml"
    Path("../pyproject.toml").write_text('[tool.archc]\nspecs = ["mnv3_small"]\n')
    assert str(found()) == "../pyproject.toml"
    Path("../archc.toml").write_text('specs = ["mnv3_large"]\n')
    assert str(found()) == "../archc.toml"
    assert run("check").out.endswith("mnv3_large.yaml: fine, 5,483,032 parameters\n")


def found() -> Path:
    project = find()
    assert project is not None
    return project.file


def test_what_is_wrong_with_others_files_is_their_business(run: Run) -> None:
    Path("pyproject.toml").write_text("[")
    Path("archc.toml").unlink()
    assert find() is None
    assert "Missing argument 'SPEC...'" in run("build").err
    Path("pyproject.toml").write_text("[tool.archc]\nspecs = [\n")
    assert run("build").err.startswith("pyproject.toml:3:1: E004 TOML syntax: ")


@pytest.mark.parametrize("text", ["[tool]\narchc = 3\n", "tool = 3 # archc\n"])
def test_a_table_that_is_none(run: Run, text: str) -> None:
    Path("archc.toml").unlink()
    Path("pyproject.toml").write_text(text)
    assert run("build").code == 2


# --------------------------------------------------------------------------------------- building


def test_build_and_check_take_no_argument(run: Run) -> None:
    assert run("build") == (
        0,
        "generated/a_torch.py: created, 62,006 parameters, 651,720 MACs\n"
        "generated/a_five_torch.py: created, 61,581 parameters, 651,300 MACs\n",
        "",
    )
    assert run("build", "--check") == (0, "", "")
    assert run("check") == (
        0,
        "specs/a.yaml: fine, 62,006 parameters\nspecs/a.yaml as a_five: fine, 61,581 parameters\n",
        "",
    )
    header = "Generated by archc from a.yaml with classes=5. Edit the spec, not this file."
    assert header in Path("generated/a_five_torch.py").read_text()


def test_options_count_before_the_file(run: Run) -> None:
    assert [*fates(run("build", "-b", "keras", "-o", "x", "--set", "classes=3"))] == [
        "x/a_keras.py",
        "x/a_five_keras.py",
    ]
    assert "with classes=3." in Path("x/a_five_keras.py").read_text()
    assert [*fates(run("build", "specs/a.yaml"))] == ["generated/a_torch.py"]


def test_a_variant_and_a_shipped_spec_by_name(run: Run) -> None:
    assert [*fates(run("build", "a_five", "lenet_cifar"))] == [
        "generated/a_five_torch.py",
        "generated/lenet_cifar_torch.py",
    ]
    shutil.copy("specs/a.yaml", "a_five")
    assert run("check", "a_five").out == "a_five: fine, 62,006 parameters\n"


def test_variants_have_backends_and_can_be_for_inference(run: Run) -> None:
    more = '\n[variants.small]\nspec = "repvgg_a0"\nbackends = ["keras"]\ninference = true\n'
    Path("archc.toml").write_text(PROJECT + more)
    assert [*fates(run("build"))][-1] == "generated/small_keras.py"
    assert "for inference." in Path("generated/small_keras.py").read_text()
    assert [*fates(run("build", "--inference"))] == [
        "generated/a_inference_torch.py",
        "generated/a_five_inference_torch.py",
        "generated/small_keras.py",
    ]


def test_naming(run: Run) -> None:
    Path("archc.toml").write_text('naming = "{backend}-{name}"\n' + PROJECT)
    assert [*fates(run("build"))] == ["generated/torch-a.py", "generated/torch-a_five.py"]
    Path("archc.toml").write_text('naming = "{name}"\n' + PROJECT)
    result = run("build", "-b", "all")
    assert result.code == 2
    assert "Two files of specs/a.yaml would be called a.py; put {backend} into" in result.err


def test_all_sources_where_no_backend_is_named(run: Run) -> None:
    Path("archc.toml").write_text('specs = ["specs/*.yaml", "specs/a.yaml", "mnv3_small"]\n')
    assert [path.removeprefix("generated/") for path in fates(run("build"))] == [
        "a_keras.py",
        "a_torch.py",
        "mnv3_small_keras.py",
        "mnv3_small_torch.py",
    ]


def test_a_project_says_what_is_strict_and_what_is_included(
    run: Run, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    shutil.copy(SHIPPED / "lenet_cifar.yaml", elsewhere / "base.yaml")
    warned = f"archc: 1\nextends: {elsewhere}/base.yaml\nname: B\nlet: {{unused: 1}}\n"
    Path("specs/a.yaml").write_text(warned)
    Path("archc.toml").write_text('specs = ["specs/*.yaml"]\nbackends = ["torch"]\n')
    assert "E018" in run("check").err
    included = f'specs = ["specs/*.yaml"]\nbackends = ["torch"]\ninclude = ["{elsewhere}"]\n'
    Path("archc.toml").write_text(included)
    assert run("check").code == 0
    Path("archc.toml").write_text(f"{included}strict = true\n")
    strict = run("check")
    assert (strict.code, strict.out) == (2, "")
    assert ": W007 nothing depends on `unused`" in strict.err
    assert run("check", "--no-strict").code == 0
    assert run("build").code == 2


def test_one_wrong_spec_leaves_the_others_written(run: Run) -> None:
    Path("specs/b.yaml").write_text(SPEC.replace("extends", "extnds"))
    result = run("build")
    assert result.code == 2
    assert [*fates(result)] == ["generated/a_torch.py", "generated/a_five_torch.py"]
    assert result.err == (
        "specs/b.yaml:2:1: E010 unknown key `extnds`\n"
        "    2 | extnds: lenet_cifar.yaml\n"
        "      | ^^^^^^\n"
        "      = help: did you mean `extends`?\n"
        "archc: specs/b.yaml is wrong, and its files are left as they were\n"
    )
    assert run("build", "--check").code == 2


# ------------------------------------------------------------------------------- files of others


def test_stale_files_say_what_to_do(run: Run) -> None:
    run("build")
    Path("specs/a.yaml").write_text(SPEC.replace("name: A", "name: B"))
    stale = run("build", "--check")
    assert stale.code == 1
    assert stale.err == "archc: 2 files are not as the spec has it: run `archc build`\n"


def test_a_file_that_archc_did_not_write_stays(run: Run) -> None:
    Path("generated").mkdir()
    mine = Path("generated/a_torch.py")
    mine.write_text('"""Mine."""\n\nHEADER = """\nGenerated by archc from a.yaml.\n"""\n')
    before = mine.read_text()
    result = run("build")
    assert (result.code, result.out) == (2, "")
    said = "generated/a_torch.py exists, and archc did not write it; --force replaces it.\n"
    assert result.err.endswith(said)
    assert (mine.read_text(), len([*Path("generated").iterdir()])) == (before, 1)
    assert fates(run("build", "--force"))["generated/a_torch.py"] == "changed"
    assert set(fates(run("build")).values()) == {"unchanged"}


@pytest.mark.parametrize("text", ["text", "graph"])
def test_a_graph_of_others_stays(run: Run, text: str) -> None:
    pytest.importorskip("onnx")
    option = ["--text"] * (text == "text")
    (name,) = fates(run("build", "specs/a.yaml", "-b", "onnx", *option))
    path = Path(name)
    assert ours.wrote(path)
    run("build", "specs/a.yaml", "-b", "onnx", *option, "--set", "classes=3")
    path.write_bytes(path.read_bytes().replace(b"archc", b"other", 1))
    result = run("build", "specs/a.yaml", "-b", "onnx", *option)
    assert result.code == 2
    assert "archc did not write it" in result.err


@pytest.mark.parametrize("path", sorted((ROOT / "generated").glob("*.py")), ids=lambda p: p.name)
def test_archc_knows_its_own_files(path: Path) -> None:
    assert ours.wrote(path)


def test_no_other_file_of_python_is_archcs() -> None:
    files = [*(ROOT / "compiler").rglob("*.py"), *(ROOT / "tests").glob("*.py")]
    assert [path.name for path in files if path.stat().st_size and ours.wrote(path)] == []


GONE = "archc wrote this, and nothing in the project gives it; delete it\n"


def test_a_renamed_spec_leaves_no_orphan_unnoticed(run: Run) -> None:
    run("build", "-b", "all")
    Path("archc.toml").write_text(PROJECT.replace("a.yaml", "b.yaml").replace("a_five", "b_five"))
    Path("specs/a.yaml").rename("specs/b.yaml")
    built = run("build")
    names = ["a_five_keras.py", "a_five_torch.py", "a_keras.py", "a_torch.py"]
    said = "".join(f"generated/{name}: {GONE}" for name in names)
    assert (built.code, built.err) == (0, said)
    assert run("build", "--check") == (1, "", said)
    for name in names:
        Path("generated", name).unlink()
    assert run("build", "--check") == (0, "", "")


def test_libraries_beside_the_specs(run: Run) -> None:
    """A pattern may match one: it is checked, and nothing is written for it."""
    library = "archc: 1\nblocks:\n  own: {steps: [{y: identity(x)}]}\n"
    Path("specs/own.yaml").write_text(library)
    assert "specs/own.yaml: fine, 1 block\n" in run("check").out.replace(f"{Path.cwd()}/", "")
    built = run("build")
    assert (built.code, any("own" in name for name in fates(built))) == (0, False)


def test_what_is_no_orphan(run: Run) -> None:
    run("build")
    Path("generated/mine.py").write_text('"""Mine."""\n')
    Path("generated/__init__.py").write_text("")
    Path("generated/sub.py").mkdir()
    assert run("build", "--check") == (0, "", "")
    run("build", "lenet_cifar")
    assert run("build", "specs/a.yaml", "--check") == (0, "", "")  # some of them, by name
    assert run("build", "lenet_cifar", "--check") == (0, "", "")
    assert run("build", "--check").err == f"generated/lenet_cifar_torch.py: {GONE}"
    # Of a spec that is wrong, nothing is an orphan; nor is what another backend has.
    Path("generated/lenet_cifar_torch.py").unlink()
    assert run("build", "-b", "keras").err == ""
    Path("specs/a.yaml").write_text("archc: 1\n")
    assert GONE not in run("build", "-b", "torch").err


def test_no_orphans_without_a_project(run: Run) -> None:
    Path("archc.toml").unlink()
    run("build", "specs/a.yaml", "-b", "torch")
    Path("specs/a.yaml").rename("specs/b.yaml")
    assert run("build", "specs/b.yaml", "-b", "torch").err == ""
    assert run("build", "specs/b.yaml", "-b", "torch", "--check") == (0, "", "")


def test_this_repository_is_a_project(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    project = find()
    assert project is not None
    assert [job.stem for job in project.jobs] == networks()
    scripts = {path.name for path in Path("generated").glob("train_*.py")}
    assert project.gives() == {path.name for path in Path("generated").glob("*.py")} - scripts
    assert project.scripts() == scripts
