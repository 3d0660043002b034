package graphsim

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

var platformNames = []string{"Win", "macOS", "iOS", "AND", "Win365", "HoloLens"}

var areas = []string{
	"Device Security", "Defender Antivirus", "Encryption", "Windows Update", "Microsoft Edge", "Office", "Credential Protection",
	"Network", "Delivery Optimisation", "OneDrive", "User Experience", "Local Accounts", "Firewall", "Printing", "Power", "Logging",
}

var topics = []string{
	"Local Security", "Attack Surface Reduction", "BitLocker OS Drive", "Ring 1 Pilot", "Ring 3 Broad", "Extensions", "Macro Hardening", "LAPS",
	"Wi-Fi Corp", "Peer Caching", "Known Folder Move", "Start Menu", "Administrators", "Inbound Rules", "Universal Print", "Sleep & Standby", "Audit Policy",
	"Kiosk Reception", "Shop Floor Tablets", "Executive Devices", "SmartScreen", "Passkeys", "Time Zone", "VPN Always On",
}

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

// name makes the name of object i of a kind.
func (m *maker) name(kind string, i int) string {
	r := m.rng(kind, "name", i)
	switch i % 19 {
	case 3:
		return numbered(foreign, i/19)
	case 7:
		return numbered(illegal, i/19)
	case 11:
		return m.plain(r) + " - " + strings.Repeat("applies to all managed endpoints of every subsidiary, ", 2+r.IntN(3)) + "see CHG00" + fmt.Sprint(41000+i)
	case 13:
		return m.name(kind, i-1) // two policies of one name
	}
	return m.plain(r)
}

func (m *maker) plain(r *rand.Rand) string {
	return fmt.Sprintf("%s - NWK - %s - %s - %s v%d.%d", pick(r, platformNames), pick(r, areas), pick(r, []string{"D", "U"}), pick(r, topics), 1+r.IntN(4), r.IntN(10))
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

func (m *maker) description(r *rand.Rand) string { return pick(r, descriptions) }
