// Package temporalclient connects to Temporal by Temporal's own convention: the TEMPORAL_* environment variables and
// temporal.toml (go.temporal.io/sdk/contrib/envconfig), so that any cluster, or Temporal Cloud, fits.
package temporalclient

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"go.temporal.io/api/enums/v1"
	"go.temporal.io/api/operatorservice/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/api/workflowservice/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	"go.temporal.io/sdk/log"
	"go.temporal.io/sdk/temporal"
)

// Options loads the client's options from the environment. A non-empty address overrides TEMPORAL_ADDRESS.
func Options(address string, logger *slog.Logger, metrics client.MetricsHandler) (client.Options, error) {
	options, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return options, fmt.Errorf("the TEMPORAL_* settings: %w", err)
	}
	if address != "" {
		options.HostPort = address
	}
	options.Logger = log.NewStructuredLogger(logger)
	options.MetricsHandler = metrics
	return options, nil
}

// timeout bounds how long [Dial] and [Reach] wait for Temporal.
const timeout = 10 * time.Second

// Dial connects within 10 s, and registers the search attributes that the namespace does not have.
func Dial(ctx context.Context, options client.Options, attributes []temporal.SearchAttributeKey) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(ctx, options)
	if err != nil {
		return nil, err
	}
	if err := register(ctx, c, namespace(options), attributes); err != nil {
		c.Close()
		return nil, err
	}
	return c, nil
}

// Reach returns nil if Temporal responds within 10 s and has the namespace, so that [Dial] can connect.
func Reach(ctx context.Context, options client.Options) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	c, err := dial(ctx, options)
	if err != nil {
		return err
	}
	defer c.Close()
	_, err = c.WorkflowService().DescribeNamespace(ctx, &workflowservice.DescribeNamespaceRequest{Namespace: namespace(options)})
	if err != nil {
		return fmt.Errorf("namespace %q (TEMPORAL_NAMESPACE): %w", namespace(options), err)
	}
	return nil
}

// Describe says where the options connect to, without secrets.
func Describe(options client.Options) string {
	tls, key := "no TLS", ""
	if options.ConnectionOptions.TLS != nil || options.Credentials != nil { // an API key turns TLS on
		tls = "TLS"
	}
	if options.Credentials != nil {
		key = ", API key ******"
	}
	return fmt.Sprintf("address %q, namespace %q, %s%s", cmp.Or(options.HostPort, client.DefaultHostPort), namespace(options), tls, key)
}

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("no response from Temporal at %s (TEMPORAL_ADDRESS) %s: %w", cmp.Or(options.HostPort, client.DefaultHostPort), security(options), err)
	}
	return c, nil
}

// security says how the options connect: a server that wants TLS, or another client certificate, may close the connection without a
// reason.
func security(options client.Options) string {
	tls := options.ConnectionOptions.TLS
	switch {
	case tls != nil && (len(tls.Certificates) > 0 || tls.GetClientCertificate != nil):
		return "with TLS and a client certificate"
	case tls != nil || options.Credentials != nil:
		return "with TLS, without a client certificate"
	default:
		return "without TLS"
	}
}

func namespace(options client.Options) string {
	return cmp.Or(options.Namespace, client.DefaultNamespace)
}

func register(ctx context.Context, c client.Client, namespace string, attributes []temporal.SearchAttributeKey) error {
	known, err := c.OperatorService().ListSearchAttributes(ctx, &operatorservice.ListSearchAttributesRequest{Namespace: namespace})
	if err != nil {
		return fmt.Errorf("read the search attributes of namespace %q: %w", namespace, err)
	}
	missing := map[string]enums.IndexedValueType{}
	conditions := make([]string, len(attributes))
	for i, a := range attributes {
		if _, ok := known.GetCustomAttributes()[a.GetName()]; !ok {
			missing[a.GetName()] = a.GetValueType()
		}
		conditions[i] = a.GetName() + " IS NULL"
	}
	if len(missing) > 0 {
		_, err := c.OperatorService().AddSearchAttributes(ctx, &operatorservice.AddSearchAttributesRequest{
			Namespace: namespace, SearchAttributes: missing})
		var exists *serviceerror.AlreadyExists
		if err != nil && !errors.As(err, &exists) { // another process may have been first
			return fmt.Errorf("namespace %q has no search attributes %v, and they cannot be added from here: %w", namespace, missing, err)
		}
	}
	// The server's caches learn of them a moment later. Until then it refuses workflows that have them, and queries.
	query := &workflowservice.CountWorkflowExecutionsRequest{Namespace: namespace, Query: strings.Join(conditions, " AND ")}
	for {
		_, err := c.CountWorkflow(ctx, query)
		var unknown *serviceerror.InvalidArgument
		if !errors.As(err, &unknown) {
			return err
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("namespace %q does not accept the search attributes %v yet: %w", namespace, missing, err)
		}
	}
}
