"""Which domain a question is of, by its letters alone: what picks an adapter where nobody says which.

- Naive Bayes over character n-grams (scikit-learn), learned from training questions: deterministic, milliseconds, no
  model. Held-out questions, and the domain that they come from, are never seen.
- Not handled here: questions of no domain; every question goes somewhere.

>>> router = Router.learned({"sums": ["What is 1 + 2?", "What is 3 + 4?"], "law": ["Who sits in court?"]})
>>> router.routes(["What is 5 + 6?", "Which court is it?"])
['sums', 'law']
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class Router:
    """A fitted scikit-learn pipeline from question to domain."""

    pipeline: Any

    @classmethod
    def learned(cls, questions: Mapping[str, Sequence[str]]) -> Self:
        """A router that has seen these questions of each domain."""
        from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
        from sklearn.naive_bayes import MultinomialNB  # type: ignore[import-untyped]
        from sklearn.pipeline import make_pipeline  # type: ignore[import-untyped]

        texts = [question for some in questions.values() for question in some]
        names = [domain for domain, some in questions.items() for _ in some]
        # Domains differ in size, which says nothing of what will be asked.
        model = MultinomialNB(fit_prior=False)
        return cls(make_pipeline(CountVectorizer(analyzer="char_wb", ngram_range=(1, 3)), model).fit(texts, names))

    def routes(self, questions: Sequence[str]) -> list[str]:
        """The domain of each question."""
        return [str(domain) for domain in self.pipeline.predict(list(questions))]
