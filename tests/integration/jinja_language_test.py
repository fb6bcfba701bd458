"""Jinja's language: thousands of small templates give what jinja2 gives, or fail where it fails.

Values with operators, filters, tests, methods, subscripts and conversions, all with all. What is
left out, since it isn't supported: integers beyond 64 bits and complex numbers, sets (differences of
dict views), bytes, pprint beyond a line, urlize, random, lipsum. What Python prints with an address
in it can't be compared.
"""

import json
import re

import pytest

from chat_conversations import SPECIAL_TOKENS
from jinja_oracle import ROOT, render, render_ours, renderer_case

VALUES = [
    "''", "'abc'", r"'a b  c\n'", "'ÄßéΣ ǆ'", r"'世界 😀e\u0301'", "'12'", "' -3.5 '", '\'<b>&"\'',
    "'x,y,,z'", '0', '1', '-7', '12345678901234', '2.5', '-0.0', '1e22', '1e-7', 'true', 'false',
    'none', 'nope', '[]', '[3,1,2]', "['b','A','c','a']", '[[1,2],[3,4]]', "[1,'a',none]", '{}',
    "{'z':1,'a':[1,'x'],'items':5}", '{1:2,none:3,true:4}', '()', '(1,2)', '(1,)', 'range(3)',
    'range(0)', 'range(1,10,3)', 'd.items()', 'd.keys()', 'd.values()', "[1,2]|map('string')",
    'objects', 'ns', 's', 'messages[0]', "'a'|safe", '[nope]', 'mac', "'true'",
]
OPERANDS = [
    "''", "'ab'", "'é'", '0', '1', '-7', '2.5', '-0.0', 'true', 'none', 'nope', '[]', "[1,'a']",
    "['a']", '{}', "{'a':1}", '()', '(1,2)', 'range(3)', 'd.keys()', 'ns', "'%s'", "'%d|%s'",
    "'5'", '1e22', '[nope]', "'a'|safe", 'objects[0]', '3',
]
OPERATORS = ["+", "-", "*", "/", "//", "%", "**", "==", "!=", "<", "<=", ">", ">=", "in", "not in",
             "~", "and", "or"]
FILTERS = [
    'abs', 'capitalize', 'center', 'count', 'd', 'default', 'dictsort', 'e', 'escape',
    'filesizeformat', 'first', 'float', 'forceescape', 'indent', 'int', 'items', 'join', 'last',
    'length', 'list', 'lower', 'map', 'max', 'min', 'reject', 'rejectattr', 'reverse', 'round',
    'safe', 'select', 'selectattr', 'sort', 'string', 'striptags', 'sum', 'title', 'tojson',
    'trim', 'truncate', 'unique', 'upper', 'urlencode', 'wordcount', 'wordwrap', 'xmlattr',
    'batch', 'slice', 'groupby', 'replace', 'format', 'attr', 'nope', 'batch(2)', "batch(2,'-')",
    'batch(0)', "batch('a')", 'slice(2)', "slice(2,'-')", 'slice(0)', "map('upper')|list",
    "map('int')|list", "map(attribute='n')|list", "map(attribute='n', default='D')|list",
    "map('default','x')|list", "map('nope')|list", "map('replace','a','b')|list",
    'map(attribute=0)|list', "map('length')|list", "map('string')|join('-')",
    "select('odd')|list", "select('string')|list", "select('defined')|list",
    "select('eq',1)|list", "select('in',[1,'a'])|list", "select('nope')|list",
    "reject('none')|list", "selectattr('t')|list", "selectattr('v','eq',2)|list",
    "selectattr('n','defined')|map(attribute='n')|list", "rejectattr('t')|list",
    "rejectattr('v','gt',1)|list", "rejectattr('x.y')|list", 'sort(reverse=true)',
    'sort(case_sensitive=true)', "sort(attribute='n')", "sort(attribute='v,n')",
    'sort(true, true)', 'unique(true)|list', "unique(attribute='v')|list", "groupby('v')",
    "groupby('n')", "groupby('t', default=false)", "groupby('n', case_sensitive=true)",
    "min(attribute='v')", "max(attribute='n')", 'min(true)', "sum(attribute='v')", 'sum(start=5)',
    'sum(start=[])', "sum('v',1.5)", "join(',')", "join(',', attribute='n')", 'join(1)',
    'join(none)', 'dictsort(true)', "dictsort(by='value')", "dictsort(false,'value',true)",
    "dictsort(by='nope')", 'indent(2)', 'indent(2,true)', "indent('>>',true,true)",
    'indent(width=3,blank=true)', "replace('a','B')", "replace('','-')", "replace('a','B',1)",
    "replace('l','L',count=1)", 'truncate(5)', 'truncate(5,true)', "truncate(5,false,'…')",
    "truncate(5,true,'',0)", "truncate(3,false,'...',0)", 'truncate(2)', 'wordwrap(4)',
    'wordwrap(4,false)', "wordwrap(4,true,'|')", "wordwrap(4,true,'|',false)", 'center(11)',
    'center(12)', 'round(1)', "round(2,'ceil')", "round(0,'floor')", 'round(-1)',
    "round(1,'nope')", 'int(9)', 'int(9,16)', 'int(0,2)', 'int(base=8)', 'float(1.5)',
    "default('x')", "default('x',true)", "d('x',boolean=true)", "trim('a')", "trim('<>')",
    'tojson(indent=2)', 'tojson(indent=0)', "tojson(indent='--')", 'tojson(ensure_ascii=true)',
    "tojson(separators=(',',':'))", 'tojson(sort_keys=true)', "tojson(true,1,['; ',' = '],true)",
    "tojson(separators=(',',))", "tojson(separators='ab')", 'tojson(indent=2.5)',
    'tojson(indent=-1)', 'tojson(indent=true)', 'xmlattr(false)', 'filesizeformat(true)',
    "format('a')", "format('a','b')", 'format(1,2)', 'format(a=1)', "attr('upper')",
    "attr('items')", "attr('n')", 'first|string', 'last|string', 'list|length', 'string|length',
    'items|list', 'reverse|list', 'upper|lower', 'title|capitalize', 'striptags|upper', 'e|e',
    'safe|e', 'round|int', 'abs|int', 'string|list', 'dictsort|list',
]
TESTS = [
    'boolean', 'callable', 'defined', 'divisibleby 2', 'divisibleby(0)', 'eq 1', 'equalto("abc")',
    'escaped', 'even', 'false', 'filter', 'float', 'ge 1', 'greaterthan 1', 'gt 1',
    'in [1,2,"abc"]', 'in "abc"', 'in d', 'integer', 'iterable', 'le 1', 'lessthan 1', 'lower',
    'lt 1', 'mapping', 'ne 1', 'none', 'number', 'odd', 'sameas none', 'sameas true', 'sameas(1)',
    'sequence', 'string', 'test', 'true', 'undefined', 'upper', 'nope', 'not none', 'not string',
]
METHODS = [
    'capitalize()', 'casefold()', 'center(9)', "center(10,'*')", "center(9,'ab')", "count('a')",
    "count('')", "count('a',1)", "count('a',-2,9)", "endswith('c')", "endswith(('c','n'))",
    "endswith('b',0,2)", "endswith(['c'])", 'expandtabs()', 'expandtabs(2)', "find('b')",
    "find('')", "find('b',2)", "find('z',0,1)", "find('c',-1)", 'format()', 'format(1,a=2)',
    "index('b')", "index('zz')", 'isalnum()', 'isalpha()', 'isascii()', 'isdecimal()',
    'isdigit()', 'isidentifier()', 'islower()', 'isnumeric()', 'isprintable()', 'isspace()',
    'istitle()', 'isupper()', "join(['1','2'])", "join('xyz')", 'join([1])', "join({'a':1})",
    'ljust(9)', "ljust(9,'é')", 'lower()', 'lstrip()', "lstrip('a ')", "partition('b')",
    "partition('')", "removeprefix('a')", "removesuffix('c')", "replace('b','X')",
    "replace('','-')", "replace('b','X',0)", "replace('b','X',-1)", "replace(old='b',new='X')",
    "rfind('b')", "rfind('b',1,2)", "rindex('b')", 'rjust(9)', "rpartition('b')", 'rsplit()',
    "rsplit(',',1)", 'rsplit(none,1)', 'rsplit(maxsplit=1)', 'rstrip()', r"rstrip('c\n')",
    'split()', "split(',')", "split(',',1)", "split(' ')", 'split(none,1)',
    "split(sep=',',maxsplit=0)", "split('')", 'split(1)', 'splitlines()', 'splitlines(true)',
    "startswith('a')", "startswith(('x','a'))", "startswith('b',1)", 'startswith()', 'strip()',
    "strip('a')", 'strip(none)', 'swapcase()', 'title()', 'upper()', 'zfill(8)', "zfill('a')",
    "translate({97:'Z',98:none,99:100})", "format_map({'a':1})", 'nope()', 'upper(1)',
    '__class__', 'append(1)', 'copy()', 'count(1)', 'index(1)', 'index(3,1)', 'index(1,0,2)',
    "index('zz')", 'pop()', 'sort()', 'extend([1])', 'insert(0,1)', 'remove(1)', 'reverse()',
    'clear()', 'copy()', "get('z')", "get('q')", "get('q',7)", 'get()', 'get([1])', 'items()',
    'items()|list', 'keys()|list', 'values()|list', 'keys()|length', 'items()|length',
    'keys()[0]', "pop('z')", 'update({})', "setdefault('a',1)", 'popitem()', 'clear()',
    'fromkeys([1,2])', "fromkeys('ab',0)", 'keys()|sort', "values()|map('string')|list",
    'items()|first', 'items()|last', 'items()|tojson', 'items', 'keys', 'update', 'pop', 'real',
    'imag', 'numerator', 'start', 'stop', 'step', 'count(1)', 'index(1)', 'name', 'grouper',
    'list', 'x', '_x', 'first', 'a', 'nope',
]
# Whole templates; @ stands for the value.
USES = [
    "{{ @ }}", "{{ -(@) }}", "{{ +(@) }}", "{{ not (@) }}", "{% if @ %}T{% else %}F{% endif %}",
    "{% for x in @ %}[{{ x }}{{ loop.index }}{{ loop.length }}]{% else %}E{% endfor %}",
    "{% set a, b = @ %}{{ a }}-{{ b }}", "{{ [(@)] }}", "{{ {'k':(@)} }}", "{{ (@, 1) }}",
    "{{ {(@): 1} }}", "{{ dict((@)) }}", "{{ namespace((@)).a }}", "{{ range((@))|list }}",
    "{{ (@)() }}", "{{ (@).nope }}", "{{ (@).nope.x }}", "{{ (@)['nope'] }}", "{{ (@)[0] }}",
    "{{ (@)[-1] }}", "{% set v = @ %}{{ v[1:] }}", "{% set v = @ %}{{ v[::-1] }}",
    "{{ (@)[none] }}", "{{ (@)[1.0] }}", "{{ (@)[(1,2)] }}", "{{ (@)[[1]] }}", "{{ (@)[true] }}",
    "{{ (@).0 }}", "{{ '%s' % (@) }}", "{{ '%r' % (@,) }}", "{{ '%d' % (@,) }}",
    "{{ '%5.2f' % (@,) }}", "{{ '{}'.format((@)) }}", "{{ '{!r}'.format((@)) }}",
    "{{ '{:>10}'.format((@)) }}", "{{ '{:08.3f}'.format((@)) }}", "{{ '{:,}'.format((@)) }}",
    "{{ 'x'.join((@)) }}", "{{ (@).items() }}", "{{ (@).get('a') }}", "{{ (@)|attr('upper')() }}",
    "{{ mac((@)) }}", "{{ mac(*(@)) }}", "{{ mac(**(@)) }}", "{{ 1 if (@) else 2 }}",
    "{{ 1 if (@) }}", "{% set ns.y = (@) %}{{ ns.y }}", "{% with q = (@) %}{{ q }}{% endwith %}",
    "{{ strftime_now((@)) }}", "{{ raise_exception((@)) }}",
]
FIXTURE = json.loads((ROOT / "tests/worker/text/testdata/chat_template_snippets.json").read_text())
# Each template is compiled once; n, and of operands m, say which of its values it is about.
PRELUDE = ("{% set ns = namespace(a=1) %}{% macro mac(p, q=2) %}"
           "<{{ p }}{{ q }}{{ varargs }}{{ kwargs }}>{% endmacro %}"
           "{% set v = [" + ", ".join(VALUES) + "] %}{% set o = [" + ", ".join(OPERANDS) + "] %}")
GROUPS = {
    "uses": [use.replace("@", "v[n]") for use in USES],
    "operators": [f"{{{{ o[n] {operator} o[m] }}}}" for operator in OPERATORS],
    "filters": [f"{{{{ v[n]|{name} }}}}" for name in FILTERS],
    "tests": [f"{{{{ v[n] is {name} }}}}" for name in TESTS],
    "methods": [f"{{{{ v[n].{name} }}}}" for name in METHODS],
}

# Of what jinja2 gives: an address, a complex number, an integer beyond 64 bits.
BEYOND = re.compile(r" at 0x|<bound method|<built-in|<class |<function|j\)|\d{20}", re.IGNORECASE)
# Sets; and what counts or changes the letters of a text with an address.
SKIPPED = [("operators", r"\[n\] - o"), ("filters", r"wordcount|replace\(|string\|l")]


def cases(group):
    """(template, what it is about in words, the input)."""
    for source in GROUPS[group]:
        for n in range(len(OPERANDS if group == "operators" else VALUES)):
            for m in range(len(OPERANDS)) if group == "operators" else [0]:
                values = (OPERANDS[n], OPERANDS[m]) if group == "operators" else (VALUES[n],)
                kwargs = {**FIXTURE["shared"]["kwargs"], "n": n, "m": m}
                yield source, values, {**FIXTURE["shared"], "kwargs": kwargs}


def is_skipped(group, source, values, expected):
    if BEYOND.search(expected.get("text", "")):
        return True
    odd = "d.keys()" in values or "[1,2]|map('string')" in values
    return odd and any(group == where and re.search(what, source) for where, what in SKIPPED)


@pytest.mark.parametrize("group", GROUPS)
def test_gives_what_jinja2_gives(group):
    given = list(cases(group))
    ours = render_ours([renderer_case(PRELUDE + source, conversation, SPECIAL_TOKENS)
                        for source, _, conversation in given])
    compared, differ = 0, []
    for (source, values, conversation), rendered in zip(given, ours):
        expected = render(PRELUDE + source, conversation, SPECIAL_TOKENS)
        if is_skipped(group, source, values, expected):
            continue
        compared += 1
        if expected.get("text") != rendered.get("text"):
            differ.append((source, values, expected, rendered))
    print(f"{compared} of {len(given)} compared")
    assert not differ, f"{len(differ)} differ: {differ[:10]}"
    assert compared > 0.9 * len(given)
