package verify

// ExpectedRuns returns what package mapping makes of rows.
var ExpectedRuns = expectedRuns
