module github.com/tenantpilot/tenantpilot/services/inventory

go 1.26.0

replace (
	github.com/tenantpilot/tenantpilot/gen => ../../gen
	github.com/tenantpilot/tenantpilot/pkg => ../../pkg
)
