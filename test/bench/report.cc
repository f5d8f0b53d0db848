#include "test/bench/report.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <sstream>

namespace hydra::bench {
namespace {

constexpr int kBarWidth = 30;
// As many as make a 99th percentile.
constexpr size_t kManySamples = 100;

double Longest(const Case& result) {
  double longest = 0;
  for (const Series& series : result.series) {
    longest = std::max(longest, series.samples.Median());
  }
  return longest;
}

// Three digits that mean something.
std::string Rounded(double value) {
  char text[32];
  const int digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

// "median", or "median (p10 to p90)" where there is a spread, with the 99th
// percentile where there can be one.
std::string Spread(const Samples& samples) {
  std::string text = Rounded(samples.Median());
  if (samples.values().size() > 1) {
    text += " (" + Rounded(samples.Quantile(0.1)) + " to " +
            Rounded(samples.Quantile(0.9));
    if (samples.values().size() >= kManySamples) {
      text += ", p99 " + Rounded(samples.Quantile(0.99));
    }
    text += ")";
  }
  return text;
}

std::string Heading(const Case& result) {
  std::string text = result.title;
  if (!result.unit.empty()) text += ", " + result.unit;
  const double ratio = Ratio(result);
  if (ratio > 0) {
    text += ": " + Rounded(ratio) + " of " + result.series[1].name + "'s";
    text += result.more_is_better ? " (more is better)" : "";
  }
  return text;
}

std::string Escaped(const std::string& text) {
  std::string escaped;
  for (const char c : text) {
    if (c == '<') {
      escaped += "&lt;";
    } else if (c == '&') {
      escaped += "&amp;";
    } else {
      escaped += c;
    }
  }
  return escaped;
}

}  // namespace

double Ratio(const Case& result) {
  if (result.series.size() < 2) return 0;
  const double reference = result.series[1].samples.Median();
  return reference > 0 ? result.series[0].samples.Median() / reference : 0;
}

std::string Table(const Report& report) {
  std::ostringstream out;
  for (const auto& [name, value] : report.environment) {
    out << name << ": " << value << '\n';
  }
  for (const Case& result : report.cases) {
    out << '\n' << Heading(result) << '\n';
    const double longest = Longest(result);
    for (const Series& series : result.series) {
      const double share = longest > 0 ? series.samples.Median() / longest : 0;
      const auto length = static_cast<int>(share * kBarWidth + 0.5);
      char line[160];
      snprintf(line, sizeof line, "  %-20s %-*s %s\n", series.name.c_str(),
               kBarWidth, std::string(static_cast<size_t>(length), '#').c_str(),
               Spread(series.samples).c_str());
      out << line;
    }
    if (!result.note.empty()) out << "  (" << result.note << ")\n";
  }
  return out.str();
}

std::string Json(const Report& report) {
  nlohmann::ordered_json environment = nlohmann::ordered_json::object();
  for (const auto& [name, value] : report.environment) {
    environment[name] = value;
  }
  nlohmann::ordered_json cases = nlohmann::ordered_json::array();
  for (const Case& result : report.cases) {
    nlohmann::ordered_json all = nlohmann::ordered_json::array();
    for (const Series& series : result.series) {
      const Samples& samples = series.samples;
      all.push_back({{"name", series.name},
                     {"n", samples.values().size()},
                     {"min", samples.Quantile(0)},
                     {"p10", samples.Quantile(0.1)},
                     {"median", samples.Median()},
                     {"p90", samples.Quantile(0.9)},
                     {"p99", samples.Quantile(0.99)},
                     {"max", samples.Quantile(1)}});
    }
    cases.push_back({{"id", result.id},
                     {"title", result.title},
                     {"unit", result.unit},
                     {"more_is_better", result.more_is_better},
                     {"ratio", Ratio(result)},
                     {"note", result.note},
                     {"series", all}});
  }
  const nlohmann::ordered_json document = {
      {"format", 1}, {"environment", environment}, {"cases", cases}};
  return document.dump(2) + '\n';
}

std::string Svg(const Report& report) {
  constexpr int kLine = 18;
  constexpr int kLeft = 170;
  constexpr int kFullBar = 380;
  std::ostringstream body;
  int y = 10;
  for (const Case& result : report.cases) {
    y += kLine + 6;
    body << "<text x='10' y='" << y << "' font-weight='bold'>"
         << Escaped(Heading(result)) << "</text>\n";
    const double longest = Longest(result);
    size_t index = 0;
    for (const Series& series : result.series) {
      y += kLine;
      const double median = series.samples.Median();
      const double width = longest > 0 ? median / longest * kFullBar : 0;
      const char* colour = index == 0   ? "#1a7f5a"
                           : index == 1 ? "#8a8f98"
                                        : "#d4d7dc";
      body << "<text x='20' y='" << y << "'>" << Escaped(series.name)
           << "</text><rect x='" << kLeft << "' y='" << y - 11 << "' width='"
           << static_cast<int>(width) << "' height='13' fill='" << colour
           << "'/><text x='" << kLeft + static_cast<int>(width) + 6 << "' y='"
           << y << "'>" << Rounded(median) << "</text>\n";
      ++index;
    }
    if (!result.note.empty()) {
      y += kLine;
      body << "<text x='20' y='" << y << "' fill='#666'>"
           << Escaped(result.note) << "</text>\n";
    }
  }
  std::ostringstream out;
  out << "<svg xmlns='http://www.w3.org/2000/svg' width='640' height='"
      << y + kLine << "' font-family='sans-serif' font-size='12'>\n"
      << "<rect width='100%' height='100%' fill='white'/>\n"
      << body.str() << "</svg>\n";
  return out.str();
}

}  // namespace hydra::bench
