package templates

import "strconv"

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// max1 returns n, but at least 1: a progress bar must not end at 0.
func max1(n int64) string { return itoa(max(n, 1)) }

// workspaceQuery returns the query that names the chosen workspace, or "" if the user
// has only one.
func workspaceQuery(s Shell) string {
	if len(s.Workspaces) > 1 && s.Workspace.ID != "" {
		return "?workspace=" + s.Workspace.ID
	}
	return ""
}

func onOff(on bool, yes, no string) string {
	if on {
		return yes
	}
	return no
}
