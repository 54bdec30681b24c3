"""Go templates: what text/template makes of the same text and data, and its words for errors."""

import pytest

from wardian.cli.goprintf import sprintf
from wardian.cli.gotemplate import Template, TemplateError
from wardian.cli.record import Record

DATA = {"A": {"B": 1, "C": [1, 2, "x"], "E": {}}, "S": "hi there", "N": None, "T": True, "F": 1.5}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("{{.A.B}}", "1"),
        ("{{json .A}}", '{"B":1,"C":[1,2,"x"],"E":{}}'),
        ("{{.A}}", "map[B:1 C:[1 2 x] E:map[]]"),
        ("{{.N}} {{.F}} {{.T}}", "<no value> 1.5 true"),
        ("{{range $i, $e := .A.C}}{{$i}}={{$e}},{{end}}", "0=1,1=2,2=x,"),
        ("{{range .A.E}}a{{else}}none{{end}}", "none"),
        ("{{range .A.C}}{{if eq . 2}}{{break}}{{end}}{{.}}{{end}}", "1"),
        ("{{if and .T .S}}y{{else}}n{{end}}", "y"),
        ('{{if eq .S "x"}}1{{else if .T}}2{{else}}3{{end}}', "2"),
        ("{{with .A}}{{.B}}{{$.S}}{{end}}", "1hi there"),
        ('{{index .A.C 2}} {{index .A "B"}} {{(index .A "E")}}', "x 1 map[]"),
        ('{{join (split .S " ") "-"}} {{.S | upper | printf "%s!"}}', "hi-there HI THERE!"),
        ('{{printf "%q %5d|%-5s|" .S .A.B "a"}}', '"hi there"     1|a    |'),
        ('{{- "a" -}}  b', "ab"),
        ("{{len .A.C}} {{not .T}} {{title .S}} {{pad .S 1 2}}|{{truncate .S 2}}", "3 false Hi There  hi there  |hi"),
        ("{{/* nothing */}}x", "x"),
        ("{{$x := .S}}{{$x}} {{$x = 2}}{{$x}}", "hi there 2"),
        ("{{println .A.C .T}}", "[1 2 x] true\n"),
        ('{{or .N "d"}} {{lt 1 2}} {{ge 1 2}} {{ne .S "x"}}', "d true false true"),
        ('{{slice .S 0 2}} {{html "<"}} {{urlquery "a b&"}}', "hi &lt; a+b%26"),
    ],
)
def test_rendered(text, shown):
    assert Template(text).render(DATA) == shown


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{foo}}", 'template: :1: function "foo" not defined'),
        ("{{range}}", "template: :1: missing value for range"),
        ("{{.Id", "template: :1: unclosed action"),
        ("{{if .T}}x", "template: :1: unexpected EOF"),
        ("{{end}}", "template: :1: unexpected {{end}}"),
        ("{{.X}}", 'template: :1:2: executing "" at <.X>: map has no entry for key "X"'),
        ("{{.X.Y}}", 'template: :1:4: executing "" at <.X.Y>: map has no entry for key "X"'),
        ("{{.A.X.Y}}", 'template: :1:4: executing "" at <.A.X.Y>: map has no entry for key "X"'),
        ("{{.S.X}}", 'template: :1:4: executing "" at <.S.X>: can\'t evaluate field X in type string'),
        ('{{template "x"}}', "template: :1: {{template}} is not built yet in Wardian"),
    ],
)
def test_words_for_what_is_wrong(text, words):
    with pytest.raises(TemplateError) as caught:
        Template(text).render(DATA)
    assert str(caught.value) == words


def test_record():
    record = Record("*formatter.X", {"ID": lambda: "<a>", "Label": lambda name: f"label {name}"})
    assert Template('{{.ID}} {{.Label "q"}} {{json .}}').render(record) == '<a> label q {"ID":"\\u003ca\\u003e"}'
    with pytest.raises(TemplateError, match=r"can't evaluate field Foo in type \*formatter.X"):
        Template("{{.Foo}}").render(record)


def test_null_of_a_known_list():
    assert Template("{{.A.Env}}", nils={"Env": "[]"}).render({"A": {"Env": None}}) == "[]"


def test_what_go_knows_from_its_types():
    template = Template(
        "{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Health}}{{end}}", nils={"Health": "<nil>"}
    )
    assert template.render({"State": {}}) == "<nil>"
    assert template.render({"State": {"Health": {"Status": "healthy"}}}) == "healthy"
    with pytest.raises(TemplateError, match='map has no entry for key "Health"'):
        Template("{{.State.Health.Status}}", nils={"Health": "<nil>"}).render({"State": {}})
    assert Template("{{.ID}} {{.APIVersion}}").render({"Id": "a", "ApiVersion": "1.51"}) == "a 1.51"
    shapes = {"Policy": ("Name", "Count")}
    assert Template("{{.Policy}}", shapes=shapes).render({"Policy": {"Count": 0, "Name": "no"}}) == "{no 0}"
    assert Template("{{.Policy}}", shapes=shapes).render({"Policy": [{"Count": 0, "Name": "no"}]}) == "[{no 0}]"
    limits = {"Limits": [{"Name": "nofile", "Hard": 2, "Soft": 1}, {"Name": "nproc", "Hard": 3, "Soft": 3}]}
    shown = Template("{{.Limits}}", shapes={"Limits": "{Name}={Soft}:{Hard}"}).render(limits)
    assert shown == "[nofile=1:2 nproc=3:3]"
    ports = {"Ports": {"80/tcp": [{"HostPort": "8080", "HostIp": "::"}], "99/tcp": None}}
    shown = Template("{{.Ports}}", shapes={"Ports": ("*", "HostIp", "HostPort")}).render(ports)
    assert shown == "map[80/tcp:[{:: 8080}] 99/tcp:[]]"
    assert Template("{{.Ports}}", shapes={"Ports": ("*",)}).render({"Ports": {"80/tcp": {}}}) == "map[80/tcp:{}]"


def test_what_a_function_refuses_is_told_with_its_arguments():
    with pytest.raises(TemplateError, match=r"at <index \.A 0>: error calling index: index of untyped nil"):
        Template("{{index .A 0}}").render({"A": None})


def test_printf():
    assert (
        sprintf("%d %s %v %t %x %05d %+d %c %%", (1, "a", [1, "b"], True, 255, 7, 8, 65))
        == "1 a [1 b] true ff 00007 +8 A %"
    )
    assert sprintf("%d", ("x",)) == "%!d(string=x)"
    assert sprintf("%d", ()) == "%!d(MISSING)"
    assert sprintf("x", (1,)) == "x%!(EXTRA int=1)"
    assert sprintf("%.2f %.3s|%6s|%-4s|", (1.5, "abcdef", "ab", "c")) == "1.50 abc|    ab|c   |"
