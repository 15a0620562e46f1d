"""The CAs as a picture, in all states and over two generations of roots."""

import re
from datetime import timedelta
from typing import Any

from smpki.ca.sub_cas import SubCaOrder
from smpki.service.portal.hierarchy import HEIGHT, WIDTH, draw

YEAR = timedelta(days=365)


def test_each_state_is_drawn_and_each_box_leads_to_its_certificate(town: Any) -> None:
    workshop, pki = town.world.workshop, town.desk.pki
    workshop.now += YEAR
    pki.renew_root()
    new, *_ = pki.create_sub_ca(SubCaOrder("Neu"))
    pki.create_sub_ca(SubCaOrder("Beispiel", renew=True))
    olga, oskar = town.operator("olga"), town.operator("oskar")
    for operator in (olga, oskar):
        operator.get(f"/certificates/{new.serial}/revoke")
        operator.send(f"/certificates/{new.serial}/revoke", reason="ca_compromise")
    assert "Taken back on" in oskar.text

    standing = town.desk.certificates.authorities()
    picture = draw(standing, workshop.now)
    places = {(node.x, node.y) for node in picture.nodes}
    assert len(places) == len(picture.nodes) == len([one for one in standing if "-tls" not in one.certificate.kind])
    assert all(node.x + WIDTH <= picture.width and node.y + HEIGHT <= picture.height for node in picture.nodes)
    tops = [node for node in picture.nodes if node.standing.certificate.kind == "root"]
    assert len(tops) == 2 and {node.x for node in tops} == {min(x for x, _ in places)}
    assert len(picture.edges) == len(picture.nodes) - len(tops)
    link = next(node for node in picture.nodes if node.standing.certificate.kind == "link")
    assert tops[0].y <= link.y < tops[1].y, "the old root issued it"

    anybody = town.browser()
    seen = {node.state for node in picture.nodes}
    for one in standing:
        page = anybody.get(f"/certificates/{one.certificate.serial}")
        assert page.status == 200 and not re.search(r"<a [^>]*>\s*</a>", page.text), one.certificate.kind
        for form in ("zip", "p12"):
            assert anybody.client.get(f"/certificates/{one.certificate.serial}/file?form={form}").status_code == 200

    for years in (-2, 3, 10):
        now = workshop.now + years * YEAR
        seen |= {node.state for node in draw(town.desk.certificates.authorities(), now).nodes}
    assert seen == {"valid", "soon", "expired", "revoked", "future"}
    workshop.now -= 2 * YEAR
    for language, words in (("en", "not valid yet"), ("de", "noch nicht gültig")):
        assert words in town.browser(language).get("/hierarchy").text
