package templates

import "strconv"

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

// max1 keeps a progress bar's end above its beginning.
func max1(n int64) string { return itoa(max(n, 1)) }

// workspaceQuery keeps the chosen workspace in addresses, where there is a choice.
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
