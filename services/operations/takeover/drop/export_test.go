package drop

// RestoreColumns are the columns of the report of restores.
var RestoreColumns = restoreColumns
