package kind

import (
	"fmt"
	"strings"

	"github.com/tenantpilot/tenantpilot/pkg/testkit/graphsim/internal/rawjson"
)

// Real estates name things in their users' languages, with characters no file
// system takes, at lengths no column expects, and twice.
var (
	foreign = []string{
		"WIN – Gerätesicherheit – Außendienst (Köln) ✓", "データ保護ポリシー - 本社 端末", "Política de contraseñas – Niño & Año 2026",
		"Réseau privé virtuel – Siège – Été", "Πολιτική ασφαλείας – Πειραιάς", "Bezpečnost zařízení – Žižkov 🔒", "أمان الأجهزة - الرياض", "Zażółć gęślą jaźń – test",
	}
	illegal = []string{
		`WIN: Edge / Chrome "Hardening" <Pilot> | v2?*`, `Baseline\Legacy\DO NOT TOUCH`, `Defender: exclusions C:\Apps\*.exe | "SQL"`, `???  BYOD / iOS: "Outlook" <only>`,
		"Tab\there, trailing dots...", `CON`,
	}
)

// places and rings tell objects apart that are alike, as they do in real estates.
var places = []string{
	"Ring 1 Pilot", "Ring 3 Broad", "Köln/Deutz", "Leeds", "São Paulo", "大阪", "Kiosk Reception", "Shop Floor Tablets", "Executive Devices",
	"VIP & Vorstand", "O'Brien's Team", "Außendienst", "Alle Mitarbeiter", "HoloLens", "Win365", "Teams Room \"A\"",
}

// name makes the name of object i of a kind: the fixture's, told apart by a
// place and a number, and among them the names that break things.
func (m *Maker) name(like *fixture, k *Kind, i int) string {
	plain := rawjson.Text(like.Body, k.NameProperty)
	if i < len(k.fixtures) {
		return plain
	}
	r := m.rng(k.Name, "name", i)
	switch i % 19 {
	case 3:
		return numbered(foreign, i/19)
	case 7:
		return numbered(illegal, i/19)
	case 11:
		return plain + " - " + strings.Repeat("applies to all managed endpoints of every subsidiary, ", 2+r.IntN(3)) + "see CHG00" + fmt.Sprint(41000+i)
	case 13:
		return m.name(k.like(i-1), k, i-1) // two policies of one name
	}
	return fmt.Sprintf("%s – %s %02d", plain, pick(r, places), i)
}

func numbered(from []string, n int) string {
	if n < len(from) {
		return from[n]
	}
	return fmt.Sprintf("%s (%d)", from[n%len(from)], n)
}

var descriptions = []string{
	"", "", "Managed by the platform team. Do not edit by hand.", "Ring: pilot → broad after 14 days.\r\nOwner: endpoint@northwind.example",
	"Ticket \"CHG0041277\" & follow-up <see wiki>", "Gilt für alle Geräte außer Kiosk.", "Replaces the GPO \\\\dc01\\sysvol\\Baseline-2019", "旧ポリシーの置き換え",
}
