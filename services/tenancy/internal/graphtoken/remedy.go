package graphtoken

// remedy returns what a person should do about one of Entra's error numbers.
func remedy(code string) string {
	switch code {
	case "AADSTS7000215":
		return "the client secret is wrong: create a new secret for the app registration and set the secret's value, not its id"
	case "AADSTS7000222":
		return "the client secret has expired: create a new secret for the app registration and set it here"
	case "AADSTS700016":
		return "the application is not known in this directory: check the client id and the directory id, or grant admin consent"
	case "AADSTS90002", "AADSTS900023":
		return "there is no such directory in this cloud: check the directory id and the national cloud"
	case "AADSTS65001", "AADSTS7000229", "AADSTS500011":
		return "the application has no consent in this directory: have an administrator grant it"
	case "AADSTS7000112", "AADSTS7000118":
		return "the application is disabled: have an administrator of the directory enable it"
	case "AADSTS53003", "AADSTS53011", "AADSTS530035":
		return "a Conditional Access policy blocks the application: exclude it or allow this location"
	case "AADSTS700024":
		return "the clocks of this server and of Entra differ too much: correct this server's clock"
	}
	return "look the number up in Microsoft's list of sign-in error codes, then check client id, secret, consent and directory"
}
