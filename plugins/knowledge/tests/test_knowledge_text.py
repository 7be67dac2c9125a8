"""Words, sentences and sections: the pure half."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mdit_py_plugins.anchors import anchors_plugin

from luminai_knowledge import Analyser, sentences
from luminai_knowledge.folders import matcher
from luminai_knowledge.markdown import MAX_PIECE, parse

LINES = st.sampled_from(
    [
        "# One",
        "## One",
        "### Two `x`",
        "# *B* [l](u)!",
        "text. More text",
        "- item",
        "> quote",
        "```",
        "| a | b |",
        "|---|---|",
        "",
        "Été à 世代",
        "---",
        "<b>",
    ]
)


@given(st.text(max_size=300))
def test_stems__any_text__are_plain_letters_and_digits(text):
    assert all(stem.isalnum() and "_" not in stem and len(stem) <= 64 for stem in Analyser().stems(text))


def test_stems__forms_of_a_word__are_the_same():
    stems = Analyser().stems("Generations generation GÉNÉRATION plugin_id don't 世代は")
    assert stems == ["generat", "generat", "generat", "plugin", "id", "don", "t", "世代", "は"]


@settings(max_examples=200)
@given(st.text(alphabet="ab .!?\n\"'Zé。", max_size=200))
def test_sentences__any_text__stand_in_it_in_order(text):
    at = 0
    for sentence in sentences(text):
        at = text.index(sentence, at) + len(sentence)
        assert "\n\n" not in sentence
        assert sentence == sentence.strip() != ""


def test_sentences__abbreviations_and_numbers__do_not_end_one():
    text = 'Use a store, e.g. Redis. It has 3.5 GB. See Dr. Who (etc. and so on). "Done." Next! 終わり。次'
    assert sentences(text) == [
        "Use a store, e.g. Redis.", "It has 3.5 GB.", "See Dr. Who (etc. and so on).", '"Done."', "Next!", "終わり。", "次",
    ]  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=25))
def test_parse__any_markdown__anchors_are_those_of_the_rendered_page(lines):
    source = "\n".join(lines)
    rendered = MarkdownIt("commonmark").enable("table").use(anchors_plugin, max_level=6).parse(source)
    assert [section.anchor for section in parse(f"\n{source}", name="n").sections] == [
        token.attrGet("id") for token in rendered if token.type == "heading_open"
    ]


@settings(max_examples=150, deadline=None)
@given(st.lists(LINES, max_size=25))
def test_parse__any_markdown__pieces_stand_in_the_text_of_the_document(lines):
    parsed = parse("\n".join(lines), name="n")
    assert all(piece.text in parsed.text for piece in parsed.pieces)


def test_parse__front_matter__gives_title_id_and_tags():
    parsed = parse('---\ntitle: "A title"\nid: axiom:boundaryless\nother: x\ntags:\n  - one\n  - two\n---\n# Heading\n', name="n")
    assert (parsed.title, parsed.id, parsed.tags, parsed.problem) == ("A title", "axiom:boundaryless", ("one", "two"), "")
    assert parsed.markdown == "# Heading\n"
    assert parse("---\ntags: [a, 'b c']\n---\n", name="n").tags == ("a", "b c")


@pytest.mark.parametrize("bad", ["no-colon", "Upper:x", "a:b c", "x:../y z", "a:"])
def test_parse__bad_id__is_a_problem_and_not_taken(bad):
    parsed = parse(f"---\nid: {bad}\n---\nText.\n", name="n")
    assert parsed.id == ""
    assert "front matter id" in parsed.problem


def test_parse__markup__becomes_plain_words_and_code_stands_apart():
    parsed = parse(
        "Intro *with* [link](x.md),\nwrapped.\n\n# H\n\n- one\n- two `c`\n\n```sh\nrun it\n```\n\n| a | b |\n|---|---|\n| 1 | 2 |\n", name="n"
    )
    assert [(piece.headings, piece.anchor, piece.text, piece.code) for piece in parsed.pieces] == [
        ((), "", "Intro with link, wrapped.", ""),
        (("H",), "h", "one\n\ntwo c\n\na | b\n\n1 | 2", "run it"),
    ]


def test_parse__very_long_section__becomes_several_pieces():
    parsed = parse("# H\n\n" + "word " * 5000, name="n")
    assert len(parsed.pieces) > 5
    assert all(len(piece.text) <= MAX_PIECE and piece.anchor == "h" for piece in parsed.pieces)


def test_parse__hundred_thousand_equal_headings__are_bounded_and_said():
    parsed = parse("# a\n" * 20_000, name="n")
    assert len(parsed.pieces) == len(parsed.sections) == 2000
    assert "first 2000" in parsed.problem


@pytest.mark.parametrize(
    ("glob", "path", "matches"),
    [
        ("**/*.md", "a.md", True),
        ("**/*.md", "x/y/a.md", True),
        ("*.md", "x/a.md", False),
        ("drafts/**", "drafts/x/a.md", True),
        ("drafts/**", "drafty/a.md", False),
        ("a?.md", "ab.md", True),
        ("a+.md", "aa.md", False),
    ],
)
def test_matcher__glob__matches_whole_paths(glob, path, matches):
    assert bool(matcher([glob]).fullmatch(path)) is matches
