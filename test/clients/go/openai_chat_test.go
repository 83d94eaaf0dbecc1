package clients

import (
	"context"
	"errors"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
)

var openaiClient = openai.NewClient(option.WithBaseURL(origin+"/v1"), option.WithAPIKey(key), option.WithMaxRetries(0))

func chat(stream bool, params openai.ChatCompletionNewParams) (*openai.ChatCompletion, error) {
	if !stream {
		return openaiClient.Chat.Completions.New(context.Background(), params)
	}
	params.StreamOptions.IncludeUsage = openai.Bool(true)
	events := openaiClient.Chat.Completions.NewStreaming(context.Background(), params)
	var joined openai.ChatCompletionAccumulator
	for events.Next() {
		if !joined.AddChunk(events.Current()) {
			return nil, errors.New("the chunks do not fit together")
		}
	}
	return &joined.ChatCompletion, events.Err()
}

func chatSaying(model string, messages ...openai.ChatCompletionMessageParamUnion) openai.ChatCompletionNewParams {
	if len(messages) == 0 {
		messages = append(messages, openai.UserMessage("hello"))
	}
	return openai.ChatCompletionNewParams{Model: model, Messages: messages}
}

func TestChat(t *testing.T) {
	eachProvider(t, func(t *testing.T, provider string, stream bool) {
		t.Run("an answer has its text and its token counts", func(t *testing.T) {
			answer, err := chat(stream, chatSaying(provider+"/say"))
			succeeds(t, err)
			same(t, answer.Choices[0].Message.Content, "Said say.")
			same(t, answer.Choices[0].FinishReason, "stop")
			same(t, answer.Usage.PromptTokens, 12)
			same(t, answer.Usage.CompletionTokens, 5)
			same(t, answer.Usage.PromptTokensDetails.CachedTokens, 4)
		})

		t.Run("tools run in parallel, and the model goes on with their results", func(t *testing.T) {
			params := chatSaying(provider + "/tools")
			params.Tools = []openai.ChatCompletionToolUnionParam{
				openai.ChatCompletionFunctionTool(openai.FunctionDefinitionParam{Name: weatherTool, Parameters: weatherSchema}),
			}
			answer, err := chat(stream, params)
			succeeds(t, err)
			same(t, answer.Choices[0].FinishReason, "tool_calls")
			params.Messages = append(params.Messages, answer.Choices[0].Message.ToParam())
			for _, call := range answer.Choices[0].Message.ToolCalls {
				same(t, call.Function.Name, weatherTool)
				result := "fine in " + cityOf(t, call.Function.Arguments)
				params.Messages = append(params.Messages, openai.ToolMessage(result, call.ID))
			}
			answer, err = chat(stream, params)
			succeeds(t, err)
			checkToolAnswer(t, answer.Choices[0].Message.Content)
		})

		t.Run("images reach the provider", func(t *testing.T) {
			picture := openai.ImageContentPart(openai.ChatCompletionContentPartImageImageURLParam{URL: pixelURL})
			answer, err := chat(stream, chatSaying(provider+"/mirror", openai.UserMessage(
				[]openai.ChatCompletionContentPartUnionParam{openai.TextContentPart("What is this?"), picture},
			)))
			succeeds(t, err)
			checkShown(t, answer.Choices[0].Message.Content, shownPixel[provider])
		})

		t.Run("an answer has the form of a schema", func(t *testing.T) {
			ask := func(script string) string {
				params := chatSaying(provider + "/" + script)
				params.ResponseFormat.OfJSONSchema = &openai.ResponseFormatJSONSchemaParam{
					JSONSchema: openai.ResponseFormatJSONSchemaJSONSchemaParam{
						Name: "place", Schema: placeSchema, Strict: openai.Bool(true),
					},
				}
				answer, err := chat(stream, params)
				succeeds(t, err)
				return answer.Choices[0].Message.Content
			}
			same(t, ask("json"), placeAnswer)
			checkShown(t, ask("mirror"), shownSchema[provider])
		})

		t.Run("a failure is the SDK's own error", func(t *testing.T) {
			for _, refusal := range refusals {
				_, err := chat(stream, chatSaying(provider+"/"+refusal.script))
				checkOpenAIError(t, err, refusal.status, refusal.message)
			}
		})
	})
}

func checkOpenAIError(t *testing.T, err error, status int, message string) {
	t.Helper()
	var failure *openai.Error
	if !errors.As(err, &failure) {
		t.Fatalf("no error of the API: %v", err)
	}
	same(t, failure.StatusCode, status)
	same(t, failure.Message, message)
}
