module github.com/tenantpilot/tenantpilot/e2e

go 1.26.0

replace (
	github.com/tenantpilot/tenantpilot/gen => ../gen
	github.com/tenantpilot/tenantpilot/pkg => ../pkg
	github.com/tenantpilot/tenantpilot/services/gateway => ../services/gateway
	github.com/tenantpilot/tenantpilot/services/inventory => ../services/inventory
	github.com/tenantpilot/tenantpilot/services/operations => ../services/operations
	github.com/tenantpilot/tenantpilot/services/tenancy => ../services/tenancy
)

require github.com/stretchr/testify v1.12.1 // indirect
