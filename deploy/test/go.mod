module github.com/tenantpilot/tenantpilot/deploy/test

go 1.26.0

require (
	github.com/compose-spec/compose-go/v2 v2.16.2
	github.com/tenantpilot/tenantpilot/deploy/local v0.0.0-00010101000000-000000000000
	github.com/tenantpilot/tenantpilot/pkg v0.0.0-00010101000000-000000000000
)

require (
	github.com/distribution/reference v0.5.0 // indirect
	github.com/docker/go-connections v0.4.0 // indirect
	github.com/docker/go-units v0.5.0 // indirect
	github.com/go-viper/mapstructure/v2 v2.4.0 // indirect
	github.com/jackc/pgpassfile v1.0.0 // indirect
	github.com/jackc/pgservicefile v0.0.0-20240606120523-5a60cdf6a761 // indirect
	github.com/jackc/pgx/v5 v5.12.0 // indirect
	github.com/mattn/go-shellwords v1.0.12 // indirect
	github.com/opencontainers/go-digest v1.0.0 // indirect
	github.com/santhosh-tekuri/jsonschema/v6 v6.0.1 // indirect
	github.com/sirupsen/logrus v1.10.1 // indirect
	github.com/xhit/go-str2duration/v2 v2.1.0 // indirect
	go.yaml.in/yaml/v4 v4.0.0-rc.4 // indirect
	golang.org/x/sync v0.24.0 // indirect
	golang.org/x/sys v0.49.0 // indirect
	golang.org/x/text v0.43.0 // indirect
)

replace (
	github.com/tenantpilot/tenantpilot/deploy/local => ../local
	github.com/tenantpilot/tenantpilot/gen => ../../gen
	github.com/tenantpilot/tenantpilot/pkg => ../../pkg
)
