"""A page before and after: what a visitor's browser makes of it is the same."""

from __future__ import annotations

import re

from tests.wordpress.browser import chromium

EVERYTHING = {"styles": True, "scripts": True, "pages": True, "exclude": ["demo-excluded"]}

# What the demo's elements look like, what its scripts said, and what the page complained about.
SEEN = """
const styles = {};
for (const element of document.querySelectorAll('body, #demo, #demo *')) {
    const style = getComputedStyle(element), all = {};
    for (const name of style) all[name] = style.getPropertyValue(name);
    for (const name of ['--gap', '--empty', '--json']) all[name] = style.getPropertyValue(name).replace(/\\s+/g, '');
    styles[element.id || element.localName] = all;
}
return {styles, demo: window.demo, globals: [typeof demoFirst, typeof demoStrict, typeof demoSloppy, typeof demoUndeclared]};
"""


def seen(browser):
    browser.open("/")
    page = browser.driver.execute_script(SEEN)
    # Without the address and the line, which are others.
    page["errors"] = sorted(re.sub(r"^\S+ \S+ ", "", entry["message"]) for entry in browser.driver.get_log("browser"))
    page["sheets"] = browser.driver.execute_script("return [...document.styleSheets].map(sheet => sheet.href).filter(Boolean)")
    return page


def test_the_page_looks_and_works_as_before(dressed):
    with chromium(dressed) as browser:
        before = seen(browser)
        assert before["demo"] == [
            "before first", "first has jQuery", "throws", "strict true", "sloppy truetrue5", "after sloppy true5",
        ]
        assert len(before["errors"]) == 1 and "thrown on purpose" in before["errors"][0]
        for more in ({}, {"shorten_names": True}, {"combine_scripts": True}):
            dressed.optimize(**EVERYTHING, **more)
            after = seen(browser)
            assert any("slbp-cache" in sheet for sheet in after["sheets"])
            for what in ("demo", "globals", "errors", "styles"):
                assert after[what] == before[what], (more, what)


def test_bundles_take_the_place_of_what_they_hold(dressed, visitor):
    dressed.optimize(**EVERYTHING)
    html = visitor.get("/").text
    assert "demo-assets/css/excluded.css" in html
    assert "demo-assets/css/base.css" not in html and "demo-assets/css/colors.css" not in html
    assert html.index("slbp-cache/css-") < html.index("#demo-inline { color: rgb(1, 2, 3); }")
    assert html.index("before first") < html.index("slbp-cache/js-") < html.index("after sloppy")
    assert len(re.findall(r"slbp-cache/js-", html)) == 4
    assert visitor.get("/").text.count("slbp-cache/") == html.count("slbp-cache/")
    bundle = re.search(r"href='?\"?([^'\"]*slbp-cache/css-[^'\"]*)", html)[1]
    css = visitor.session.get(bundle).text if bundle.startswith("http") else visitor.get(bundle).text
    assert "/*! Licence: kept. */" in css and "Thrown away" not in css


def test_images_further_down_are_lazy(dressed, visitor):
    dressed.optimize(**EVERYTHING)
    images = re.findall(r"<img[^>]*pixel\.svg[^>]*>", visitor.get("/").text)
    assert len(images) == 6
    assert ["lazy" in image for image in images] == [False] * 3 + [True] * 3
    assert ["fetchpriority" in image for image in images] == [True] + [False] * 5


def test_a_script_that_is_pinned_to_its_content_stays(dressed, visitor):
    dressed.optimize(**EVERYTHING)
    html = visitor.get("/?pinned=1").text
    assert "demo-assets/js/strict.js" in html and "demo-assets/js/sloppy.js" not in html


def test_admin_and_login_pages_are_not_touched(dressed, admin, visitor):
    dressed.optimize(**EVERYTHING)
    assert "slbp-cache" not in visitor.get("/wp-login.php").text
    assert "slbp-cache" not in admin.get("/wp-admin/index.php").text
    assert "slbp-cache" not in visitor.get("/?feed=rss2").text


def test_off_it_does_nothing(dressed, visitor):
    assert "slbp-cache" not in visitor.get("/").text
    dressed.optimize(styles=False, scripts=False)
    assert "slbp-cache" not in visitor.get("/").text


def test_a_file_that_changes_or_goes_is_noticed(dressed, visitor):
    dressed.optimize(**EVERYTHING)
    before = visitor.get("/").text
    css = dressed.wordpress.content / "plugins" / "demo-assets" / "css"
    (css / "base.css").write_text("#demo-base { color: green }")
    after = visitor.get("/").text
    assert set(re.findall(r"css-[0-9a-f]{32}", after)) != set(re.findall(r"css-[0-9a-f]{32}", before))
    (css / "base.css").unlink()
    gone = visitor.get("/").text
    assert "demo-assets/css/base.css" in gone and "demo-assets/css/colors.css" in gone, "the originals are back"
