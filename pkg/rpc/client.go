package rpc

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	_ "google.golang.org/grpc/health" // lets clients watch the health of servers
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"

	"github.com/tenantpilot/tenantpilot/pkg/actor"
	"github.com/tenantpilot/tenantpilot/pkg/errs"
)

const (
	defaultDeadline = 10 * time.Second
	// A client takes larger messages than a server does. The response to a batch
	// is longer than the batch, and a page of whole runs, or a policy with all
	// its parts, may be longer still.
	maxAnswer = 64 << 20
)

// ClientConfig is who a client is, by environment (after the service's prefix):
// the same certificate files as its server's.
type ClientConfig struct {
	TLSCert string `env:"TLS_CERT"`
	TLSKey  string `env:"TLS_KEY"`
	TLSCA   string `env:"TLS_CA"`
}

// Dial makes a connection to the service serverName at target; it connects when
// first used. Calls get a deadline of 10 s if they have none, carry the user's
// token and the request id of their context, are retried while the service is
// unavailable if saying them twice does no harm, and fail with [errs.Error].
func Dial(target, serverName string, cfg ClientConfig, log *slog.Logger, extra ...grpc.DialOption) (*grpc.ClientConn, error) {
	files, err := openCertificates(cfg.TLSCert, cfg.TLSKey, cfg.TLSCA, log)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", serverName, err)
	}
	config, err := serviceConfig()
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", serverName, err)
	}
	conn, err := grpc.NewClient(target, slices.Concat([]grpc.DialOption{
		grpc.WithTransportCredentials(mutual{files: files, peer: serverName}),
		grpc.WithDefaultServiceConfig(config),
		grpc.WithDisableServiceConfig(), // the resolver's: DNS does not configure us
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithChainUnaryInterceptor(unaryClient),
		grpc.WithChainStreamInterceptor(streamClient),
		grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: 30 * time.Second, Timeout: 10 * time.Second, PermitWithoutStream: true}),
	}, observeClient(), extra)...)
	if err != nil {
		return nil, fmt.Errorf("client of %s: %w", serverName, err)
	}
	return conn, nil
}

func unaryClient(ctx context.Context, method string, req, reply any, conn *grpc.ClientConn, invoke grpc.UnaryInvoker, opts ...grpc.CallOption) error {
	ctx, cancel := WithDeadline(ctx)
	defer cancel()
	return errs.FromStatus(invoke(outgoing(ctx), method, req, reply, conn, once(req, opts)...))
}

// once stops gRPC from repeating a request whose request_id is empty: if only the
// reply was lost, the request would be carried out twice. It gives gRPC no copy
// to repeat.
func once(req any, opts []grpc.CallOption) []grpc.CallOption {
	m, ok := req.(proto.Message)
	if !ok {
		return opts
	}
	field := m.ProtoReflect().Descriptor().Fields().ByName("request_id")
	if field == nil || m.ProtoReflect().Has(field) {
		return opts
	}
	return append(slices.Clip(opts), grpc.MaxRetryRPCBufferSize(0))
}

func streamClient(ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string, open grpc.Streamer, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	stream, err := open(outgoing(ctx), desc, conn, method, opts...)
	if err != nil {
		return nil, errs.FromStatus(err)
	}
	return clientStream{stream}, nil
}

// clientStream turns the errors of a stream back into [errs.Error].
type clientStream struct{ grpc.ClientStream }

func (s clientStream) RecvMsg(m any) error { return errs.FromStatus(s.ClientStream.RecvMsg(m)) }
func (s clientStream) SendMsg(m any) error { return errs.FromStatus(s.ClientStream.SendMsg(m)) }

// outgoing adds to the metadata what a call carries beside its request.
func outgoing(ctx context.Context) context.Context {
	if token := actor.TokenFrom(ctx); token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, actor.Metadata, token)
	}
	if id := RequestIDFrom(ctx); id != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, requestMetadata, id)
	}
	return withTrace(ctx)
}

type methodName struct {
	Service string `json:"service"`
	Method  string `json:"method"`
}

// serviceConfig returns how gRPC balances and retries. Which methods it may retry
// is known from their protos.
func serviceConfig() (string, error) {
	config := map[string]any{
		"loadBalancingConfig": []any{map[string]any{"round_robin": map[string]any{}}},
		"healthCheckConfig":   map[string]any{"serviceName": ""},
		"retryThrottling":     map[string]any{"maxTokens": 100, "tokenRatio": 0.2},
	}
	if names := repeatable(); len(names) > 0 {
		config["methodConfig"] = []any{map[string]any{
			"name": names,
			"retryPolicy": map[string]any{
				"maxAttempts": 5, "initialBackoff": "0.05s", "maxBackoff": "1s", "backoffMultiplier": 2,
				"retryableStatusCodes": []string{"UNAVAILABLE"},
			},
		}}
	}
	text, err := json.Marshal(config)
	return string(text), err
}

// repeatable returns the methods that may be called twice.
func repeatable() []methodName {
	var names []methodName
	protoregistry.GlobalFiles.RangeFiles(func(file protoreflect.FileDescriptor) bool {
		if !strings.HasPrefix(string(file.Package()), "tenantpilot.") {
			return true
		}
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				if m := service.Methods().Get(j); sayTwice(m) {
					names = append(names, methodName{Service: string(service.FullName()), Method: string(m.Name())})
				}
			}
		}
		return true
	})
	return names
}

// sayTwice reports whether calling a method twice does no harm: it only reads, or
// its request has a request_id.
func sayTwice(m protoreflect.MethodDescriptor) bool {
	if m.IsStreamingClient() || m.IsStreamingServer() {
		return false
	}
	options, _ := m.Options().(*descriptorpb.MethodOptions)
	if options.GetIdempotencyLevel() != descriptorpb.MethodOptions_IDEMPOTENCY_UNKNOWN {
		return true
	}
	for _, read := range []string{"Get", "List", "Resolve", "Issue"} {
		if strings.HasPrefix(string(m.Name()), read) {
			return true
		}
	}
	return m.Input().Fields().ByName("request_id") != nil
}
