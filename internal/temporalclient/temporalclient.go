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

// Options are the connection's, from the environment; address "" takes that from there too.
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

// patience is within what time Temporal must answer.
const patience = 10 * time.Second

// Dial connects, within 10 s, and makes sure that the namespace knows the search attributes.
func Dial(ctx context.Context, options client.Options, attributes []temporal.SearchAttributeKey) (client.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// Reach returns nil if, within 10 s, Temporal answers and has the namespace: then [Dial] can do the rest.
func Reach(ctx context.Context, options client.Options) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
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

func dial(ctx context.Context, options client.Options) (client.Client, error) {
	c, err := client.DialContext(ctx, options)
	if err != nil {
		return nil, fmt.Errorf("no Temporal answers at %s (TEMPORAL_ADDRESS): %w", cmp.Or(options.HostPort, client.DefaultHostPort), err)
	}
	return c, nil
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
			return fmt.Errorf("namespace %q lacks the search attributes %v, and they can't be added from here: %w", namespace, missing, err)
		}
	}
	// The server's caches take them up a moment later, and until then refuse a workflow that has them, and a query.
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
			return fmt.Errorf("namespace %q does not take up the search attributes %v: %w", namespace, missing, err)
		}
	}
}
