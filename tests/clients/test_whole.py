"""The suite itself: every method of the client has its place, and no answer was left unchecked."""

import conftest
import methods
import openapi


def there():
    return {f"{name}.{method}" for name, cls in conftest.api_classes().items() for method in conftest.methods_of(cls)}


def test_every_method_has_its_place():
    missing = there() - set(methods.TESTED) - set(methods.REFUSED)
    assert not missing, f"methods of the client that methods.py does not know: {', '.join(sorted(missing))}"


def test_no_place_is_for_nothing():
    gone = (set(methods.TESTED) | set(methods.REFUSED)) - there()
    assert not gone, f"methods.py knows methods that the client lacks: {', '.join(sorted(gone))}"
    twice = set(methods.TESTED) & set(methods.REFUSED)
    assert not twice


def test_every_test_that_is_named_is_there(request):
    known = {conftest.short(item) for item in request.session.items}
    if request.config.whole:
        assert not set(methods.TESTED.values()) - known


def test_every_path_of_the_file_is_understood():
    """The check of answers finds the operation of a path, the literal one before the one with a parameter."""
    for path in openapi.document()["paths"]:
        example = path
        while "{" in example:
            example = example[: example.index("{")] + "7" + example[example.index("}") + 1 :]
        assert next(template for template, pattern in openapi.templates() if pattern.match(example)) == path


def test_the_check_of_answers_finds_what_is_wrong():
    def wrong(status, body, content_type="application/json", method="GET", path="/api/v2/version"):
        return openapi.problems(openapi.Answer(method, "http://x" + path, status, content_type, body))

    assert not wrong(200, b'{"version": "3", "git_version": null}')
    assert wrong(200, b'{"version": 3, "git_version": null}')
    assert wrong(200, b'{"git_version": null}')
    assert wrong(200, b"3", "text/plain")
    assert wrong(201, b'{"version": "3"}')
    assert wrong(500, b'{"detail": "x"}')
    assert wrong(404, b"Not Found", "text/plain")
    assert wrong(422, b'{"detail": "x"}')
    pools = {"method": "DELETE", "path": "/api/v2/pools/x"}
    assert not wrong(204, b"", "", **pools) and wrong(204, b"{}", **pools)
    assert not wrong(404, b'{"detail": "x"}', **pools) and wrong(404, b'{"detail": ["x"]}', **pools)


def test_answers_that_fixtures_got():
    wrong = [f"{answer}\n    {problem}" for answer in conftest.OUTSIDE for problem in openapi.problems(answer)]
    assert not wrong, "\n".join(wrong[:5])
    assert conftest.RECORDER.total > 0
